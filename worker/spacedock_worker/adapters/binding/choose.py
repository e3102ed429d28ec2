"""Which endpoint of an app answers a call: a pure function of the app's endpoints and the call.

A page's functions are listed in the order of its buttons, so the first one is often a toggle. Every endpoint
that the call can fill is scored, by the questions of `Score` in their order; the best one is taken, and a tie
is reported instead of guessed.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from spacedock_worker.adapters.base import AppCall
from spacedock_worker.adapters.binding import kinds
from spacedock_worker.adapters.binding.fill import Filling, fill
from spacedock_worker.adapters.binding.prompt import HOLDS, SAYS_NOTHING, name_rank
from spacedock_worker.adapters.binding.words import words_in
from spacedock_worker.adapters.endpoint import Endpoint, InputSlot
from spacedock_worker.adapters.faults import CannotFillError, bad_input

SHOWN = 12
MANY = 2_000
"""Endpoints and inputs that are looked through at once: that takes about 20 ms."""

LARGE = 2**18
"""Bytes of tables that are read at once."""

# Words in the name of a function that serves the page, and in the name of one that does its work.
CHORES = re.compile(
    "toggle|clear|reset|update|change|load|undo|retry|stop|cancel|like|dislike|flag|hide|show|select"
    "|refresh|delete|save|visible|visibility|disable|enable|export|unnamed|options|settings"
)
TELLING = re.compile(
    "predict|infer|inference|generate|run|process|submit|send|chat|answer|ask|respond|reply|classify"
    "|transcribe|translate|summari[sz]e|caption|describe|detect|analy[sz]e|recogni[sz]e|ocr|embed|convert"
    "|synthesi[sz]e|tts|speak|go|start"
)


T = TypeVar("T")


class Score(NamedTuple):
    """What speaks for an endpoint, the weightiest first; True and more are better."""

    complete: bool
    no_chore: bool
    pressed: bool
    prompt_placed: bool
    prompt_named: int
    files_exact: int
    own_event: bool
    stateless: bool
    telling_name: bool
    primary: bool
    named: bool


@dataclass(frozen=True, slots=True)
class Choice:
    """The endpoint taken and its inputs; `score` says why, None where the caller named it."""

    endpoint: Endpoint
    filling: Filling
    score: Score | None = None


@dataclass(frozen=True, slots=True)
class Rating:
    """One endpoint in the light of a call: its choice, or why it is out."""

    endpoint: Endpoint
    choice: Choice | None = None
    out: str = ""


def choose(endpoints: Sequence[Endpoint], call: AppCall) -> Choice:
    """Take the endpoint that the call names, else the one that fits it best.

    Raises StepError of kind `bad_input`, with the candidates, where none fits or several do equally.
    """
    if call.endpoint is not None:
        return _named(endpoints, call, call.endpoint)
    ratings = rate(endpoints, call)
    fitting = [rating.choice for rating in ratings if rating.choice]
    if not fitting:
        raise bad_input(_nothing_fits(ratings, call))
    best = max(fitting, key=lambda choice: choice.score or ())
    if says_nothing(call) and (rivals := _rivals(best, ratings)):
        raise bad_input(
            "the prompt is empty, and the page has several functions: give a prompt, or name one by "
            "`endpoint`.\n" + _lines([f"{best.endpoint}", *rivals])
        )
    ties = [choice.endpoint for choice in fitting if choice.score == best.score]
    if len(ties) > 1:
        raise bad_input(
            "several endpoints fit equally well: name one by `endpoint`.\n" + _lines([str(e) for e in ties])
        )
    return best


def foremost(endpoints: Sequence[Endpoint]) -> Endpoint | None:
    """The endpoint that does the app's main work, as far as its page tells; the first of several."""

    def rank(endpoint: Endpoint) -> tuple[bool, ...]:
        telling = any(map(TELLING.fullmatch, _words(endpoint)))
        return not is_chore(endpoint), endpoint.pressed, not endpoint.chained, telling, endpoint.primary

    return max(_candidates(endpoints, alone=False), key=rank, default=None)


async def weighed(
    weigh: Callable[[Sequence[Endpoint], AppCall], T], app: Sequence[Endpoint], call: AppCall
) -> T:
    """What `weigh`, such as `choose`, makes of the app's endpoints; in a thread where that takes long."""
    if breadth(app) > MANY or sum(len(file.data) for file in call.files if kinds.is_table(file.ref)) > LARGE:
        return await asyncio.to_thread(weigh, app, call)
    return weigh(app, call)


def breadth(endpoints: Sequence[Endpoint]) -> int:
    """How many endpoints and inputs there are to look through."""
    return sum(1 + len(endpoint.slots) for endpoint in endpoints)


def rate(endpoints: Sequence[Endpoint], call: AppCall) -> list[Rating]:
    """Every endpoint with its score or the reason why it is out, in the app's order."""
    # By name, which is unique: to compare whole endpoints with each other takes long where there are many.
    alone = says_nothing(call)
    candidates = {endpoint.name for endpoint in _candidates(endpoints, alone)}
    return [
        _rated(endpoint, call)
        if endpoint.name in candidates
        else Rating(endpoint, out=_why_no_candidate(endpoint, alone))
        for endpoint in endpoints
    ]


def says_nothing(call: AppCall) -> bool:
    """Whether the call gives nothing to fill in: it only presses a button."""
    return not (call.prompt.strip() or call.files or call.inputs)


def _rated(endpoint: Endpoint, call: AppCall) -> Rating:
    try:
        filling = fill(endpoint, call)
    except CannotFillError as error:
        return Rating(endpoint, out=str(error))
    return Rating(endpoint, Choice(endpoint, filling, _score(endpoint, filling, call)))


def _named(endpoints: Sequence[Endpoint], call: AppCall, name: str) -> Choice:
    endpoint = next((e for e in endpoints if e.name == name), None)
    if endpoint is None:
        has = _lines([str(e) for e in _candidates(endpoints, says_nothing(call))])
        raise bad_input(f"the app has no endpoint {name}. It has:\n{has}")
    try:
        return Choice(endpoint, fill(endpoint, call))
    except CannotFillError as error:
        raise bad_input(f"{endpoint} does not fit: {error}.") from error


def _candidates(endpoints: Sequence[Endpoint], alone: bool) -> list[Endpoint]:
    useful = [e for e in endpoints if _is_useful(e, alone)]
    # What a page hides from its API is still what its buttons call: it must do where nothing else is there.
    shown = [e for e in useful if e.visible] or useful
    if alone:
        # Who presses a button gets what follows with it. One that gives no answer may still do its work.
        shown = [e for e in shown if not e.chained] or shown or [e for e in endpoints if _works(e)]
    names = {e.name for e in shown}
    return [e for e in shown if e.twin not in names]


def _rivals(best: Choice, ratings: Sequence[Rating]) -> list[str]:
    """The page's other buttons, where `best` is not the main one: nobody knows which was meant."""
    main = best.endpoint.primary
    return [
        f"{rating.endpoint}{f' - {rating.out}' if rating.out else ''}"
        for rating in ratings
        if (other := rating.endpoint).name != best.endpoint.name
        and _is_useful(other, alone=True)
        and other.visible
        and other.pressed
        and not other.chained
        and (other.primary or not main)
        and other.twin != best.endpoint.name
        and not is_chore(other)
    ]


def _is_useful(endpoint: Endpoint, alone: bool) -> bool:
    return (alone or bool(endpoint.slots)) and (endpoint.leads or kinds.gives_answer(endpoint))


def _works(endpoint: Endpoint) -> bool:
    return endpoint.pressed and endpoint.visible and not endpoint.outputs


def _why_no_candidate(endpoint: Endpoint, alone: bool) -> str:
    if not endpoint.slots and not alone:
        return "it takes no input"
    if not endpoint.leads and not kinds.gives_answer(endpoint):
        return "it gives no answer"
    if alone and endpoint.chained:
        return "it follows another"
    return f"it does the same as {endpoint.twin}" if endpoint.visible else "the app hides it from its API"


def _score(endpoint: Endpoint, filling: Filling, call: AppCall) -> Score:
    rank = name_rank(filling.prompt) if filling.prompt else SAYS_NOTHING
    alone = says_nothing(call)
    return Score(
        complete=not filling.blanks,
        # Where nothing is given, nothing on the page has changed: only what a person presses is meant.
        no_chore=not is_chore(endpoint) and (endpoint.pressed or not alone),
        pressed=endpoint.pressed,
        prompt_placed=filling.prompt is not None and _asks(filling.prompt),
        prompt_named=2 if rank < HOLDS else 1 if rank < SAYS_NOTHING else 0,
        files_exact=_exact(endpoint, call),
        own_event=not endpoint.chained,
        # Where nothing is given, a person's eye goes to the main button, whatever is behind it.
        stateless=alone or not endpoint.stateful,
        telling_name=not alone and any(map(TELLING.fullmatch, _words(endpoint))),
        primary=endpoint.primary,
        named=alone or not _is_lambda(endpoint),
    )


def _asks(slot: InputSlot) -> bool:
    """Whether the slot waits for the prompt, and is no setting that the prompt happens to fit."""
    return kinds.takes_text(slot) or slot.required


def is_chore(endpoint: Endpoint) -> bool:
    """Whether it serves the page. A function without a name does work only where a button says which."""
    idle = _is_lambda(endpoint) and not endpoint.trigger
    return idle or any(map(CHORES.fullmatch, _words(endpoint)))


def _words(endpoint: Endpoint) -> list[str]:
    named = words_in(endpoint.name.lower()) if "/fn_index/" not in endpoint.name else []
    return [*named, *words_in(endpoint.trigger.lower())]


def _is_lambda(endpoint: Endpoint) -> bool:
    return re.fullmatch(r"/lambda(_\d+)*", endpoint.name) is not None


def _exact(endpoint: Endpoint, call: AppCall) -> int:
    specific = [s for s in endpoint.slots if kinds.takes_files(s) and not kinds.is_general(s)]
    return min(len(specific), len(call.files)) if call.files else -len(specific)


def _nothing_fits(ratings: Sequence[Rating], call: AppCall) -> str:
    alone = says_nothing(call)
    useful = [r for r in ratings if _is_useful(r.endpoint, alone)]
    aside = [r for r in useful if alone and (r.endpoint.chained or not r.endpoint.visible)]
    reasons = [f"{r.endpoint} - {r.out}" for r in useful if r not in aside or len(aside) == len(useful)]
    if reasons:
        return "no endpoint of the app fits this prompt and these files:\n" + _lines(reasons)
    buttons = [str(r.endpoint) for r in ratings if _is_useful(r.endpoint, alone=True)]
    if buttons and not alone:
        return "the app has no endpoint that takes an input: run it without a prompt.\n" + _lines(buttons)
    return "the app has no endpoint that takes an input and gives an answer."


def _lines(items: Sequence[str]) -> str:
    more = [f"and {len(items) - SHOWN} more"] if len(items) > SHOWN else []
    return "\n".join(f"  {item}" for item in [*items[:SHOWN], *more])
