"""How the functions of a Gradio page relate: names they share, chains, and what follows a State (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from spacedock_worker.adapters.faults import shortened
from spacedock_worker.adapters.gradio.wire import Dependency

MAX_NAME = 100
_MOST_FOLLOWERS = 5
_SUFFIX = 6
"""Characters that the number of a shared name may take."""

Numbered = Sequence[tuple[int, Dependency]]
"""The page's events with the numbers by which they are called."""


@dataclass(frozen=True, slots=True)
class Relations:
    """`names` are the endpoints' names; `events` what a person does to call each, at the head of its chain;
    `followers` the functions that the page calls after each, `chains` those that come after it where it does
    not fail; `pages` what the page itself calls instead of
    one that is for callers alone. All are by the number of the function."""

    names: Mapping[int, str]
    events: Mapping[int, list[tuple[int | None, str]]]
    followers: Mapping[int, tuple[int, ...]]
    chains: Mapping[int, tuple[int, ...]]
    pages: Mapping[int, int]


def relations_of(numbered: Numbered, states: frozenset[int], unseen: frozenset[int]) -> Relations:
    """Read them from the page's events; `states` are the components that no caller sees, `unseen` the buttons
    that nobody can press.
    """
    events, after = _events(numbered), _after(numbered)
    chains = {number: tuple(after.get(number, ())[:_MOST_FOLLOWERS]) for number, _ in numbered}
    followers = _followers(numbered, states, after)
    return Relations(_names(numbered), events, followers, chains, _pages(numbered, events, unseen))


def _names(numbered: Numbered) -> dict[int, str]:
    """A name of its own for each function: nested Blocks may give one name to two.

    Those that the page's API shows keep theirs, the others get a number.
    """
    names: dict[int, str] = {}
    taken: set[str] = set()
    again: list[tuple[int, str]] = []
    for number, dependency in sorted(numbered, key=lambda pair: not pair[1].visible):
        name = shortened(f"/{dependency.name}" if dependency.name else f"/fn_index/{number}", MAX_NAME)
        if name in taken:
            again.append((number, name))
        else:
            names[number] = name
            taken.add(name)
    counts: dict[str, int] = {}
    for number, name in again:
        stem = name[: MAX_NAME - _SUFFIX]
        counts[stem] = counts.get(stem, 1) + 1
        while f"{stem}_{counts[stem]}" in taken:
            counts[stem] += 1
        names[number] = f"{stem}_{counts[stem]}"
        taken.add(names[number])
    return names


def _events(numbered: Numbered) -> dict[int, list[tuple[int | None, str]]]:
    events: dict[int, list[tuple[int | None, str]]] = {}
    for number, dependency in numbered:
        after = dependency.trigger_after
        known = events.get(after) if after is not None else None
        events[number] = dependency.events if known is None else known
    return events


def _after(numbered: Numbered) -> dict[int, list[int]]:
    """The next of each function's chain, without what the page calls only after a failure."""
    after: dict[int, list[int]] = {}
    for number, dependency in numbered:
        if dependency.trigger_after is not None and not dependency.trigger_only_on_failure:
            after.setdefault(dependency.trigger_after, []).append(number)
    return after


def _followers(
    numbered: Numbered, states: frozenset[int], after: Mapping[int, list[int]]
) -> dict[int, tuple[int, ...]]:
    """What comes after each function: the next of its chain, and whatever hears that a State changed."""
    hearing: dict[int, list[int]] = {}
    for number, dependency in numbered:
        for component, event in dependency.events:
            if component in states and event == "change":
                hearing.setdefault(component, []).append(number)
    return {number: _first(number, dependency, after, hearing) for number, dependency in numbered}


def _pages(
    numbered: Numbered, events: Mapping[int, list[tuple[int | None, str]]], unseen: frozenset[int]
) -> dict[int, int]:
    """The way of a chat's page: gr.ChatInterface has a function on a hidden button for callers, and another
    one for the enter key in the same box.
    """
    entered = {
        dependency.inputs[0]: number
        for number, dependency in numbered
        if len(dependency.inputs) == 1 and (dependency.inputs[0], "submit") in events[number]
    }
    return {
        number: entered[dependency.inputs[0]]
        for number, dependency in numbered
        if dependency.inputs and dependency.inputs[0] in entered
        if events[number] and all(component in unseen for component, _ in events[number])
    }


def _first(
    number: int,
    dependency: Dependency,
    after: Mapping[int, list[int]],
    hearing: Mapping[int, list[int]],
) -> tuple[int, ...]:
    found = list(after.get(number, ()))
    for component in dependency.outputs:
        if len(found) >= _MOST_FOLLOWERS:
            break
        found += hearing.get(component, ())[:_MOST_FOLLOWERS]
    return tuple(found[:_MOST_FOLLOWERS])


def leading(
    shown: Iterable[int], hidden: Iterable[int], followers: Mapping[int, tuple[int, ...]]
) -> set[int]:
    """Those of `hidden`, functions that fill States alone, after which one of `shown` gives the answer."""
    answering, waiting = set(shown), set(hidden)
    for _ in range(_MOST_FOLLOWERS):
        found = {number for number in waiting if answering.intersection(followers.get(number, ()))}
        if not found:
            break
        answering |= found
        waiting -= found
    return answering.intersection(hidden)
