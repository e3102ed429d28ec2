"""The YAML of a collection that a stranger wrote: its Spaces, or all that is wrong, and where (pure)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import yaml

from spacedock._yaml.nodes import LOADER, twins, unreadable
from spacedock.request import SPACE_NAME
from spacedock_worker.control.registry import CLIENT_FIELDS
from spacedock_worker.registry.entry import SpaceEntry
from spacedock_worker.registry.reader import row_of
from spacedock_worker.registry.record import HOSTS_OWN, MAX_NAME

FIELDS = CLIENT_FIELDS | {"tags", "hardware"}
"""What a collection may say of a Space, beside its `id`, and `verified: never`."""

_SAID = {"id", "verified"}
_UNSHARED = {
    **{
        name: f"each host finds {name} out itself" for name in SpaceEntry.model_fields.keys() - FIELDS - _SAID
    },
    **{name: f"{name} can only be set in the registry's file on a host" for name in HOSTS_OWN},
    "repository": "a repository is a path of one host",
}

MAX_BYTES, MAX_SPACES = 2**18, 500
_MAX_EVENTS, _MAX_DEPTH, _MAX_TEXT, _MAX_FAULTS = 20_000, 12, 4000, 50

_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ud800-\udfff\ufeff]"
)
"""Characters that do not show, or show what follows in another order."""

_SECRET_NAME = re.compile(
    r"(^|[_-])(token|secret|password|passwd|credentials?|(api|access|secret|private|auth)[_-]?key)$", re.I
)
_SECRET_TEXT = re.compile(
    r"\bhf_\w{20}|\bsk-[\w-]{20}|\bgh[a-z]_\w{20}|\bgithub_pat_|\bAKIA[0-9A-Z]{16}|\bxox[a-z]-|"
    r"-----BEGIN [A-Z ]*PRIVATE KEY|://[^/\s:@]+:[^/\s@]+@"
)

_Fault = tuple[int, int, str]
"""The line and the column, both from 0, and what is wrong there."""


@dataclass(frozen=True, slots=True)
class Collection:
    """Fields of entries by name, where each stands ("speech.yaml:3:3"), and `faults` with their places."""

    entries: Mapping[str, Mapping[str, Any]]
    places: Mapping[str, str]
    faults: tuple[str, ...]


def read_collection(text: str, source: str) -> Collection:
    """What the text says; `source` is its file's name. Takes time in proportion to the text, and blocks."""
    found = list(islice(_unsafe(text), _MAX_FAULTS))
    entries: dict[str, Mapping[str, Any]] = {}
    places: dict[str, str] = {}
    if not found:
        root = yaml.compose(text, LOADER)
        for key, entry, faults in _spaces(root):
            found += faults
            places[key.value] = _place(source, key.start_mark.line, key.start_mark.column)
            if entry is not None:
                kept = entry.model_dump(mode="json", exclude_unset=True, exclude=_SAID)
                entries[key.value] = kept
        found += [*_structure(root, top=True), *_categorized(root, entries, places)]
    # Of what is wrong at one place, the first thing is told.
    first = {(line, column): words for line, column, words in reversed(found)}
    told = [f"{_place(source, *at)}: {words}" for at, words in sorted(first.items())]
    return Collection(entries, places, tuple(told[:_MAX_FAULTS]))


def looks_secret(name: str, value: str) -> bool:
    """Whether a value of that name is a token or a password, as far as its looks tell."""
    return bool(value and (_SECRET_NAME.search(name) or _SECRET_TEXT.search(value)))


def _place(source: str, line: int, column: int) -> str:
    return f"{source}:{line + 1}:{column + 1}"


def _at(what: Any, words: str) -> _Fault:
    """What is wrong with a node or an event."""
    return what.start_mark.line, what.start_mark.column, words


def _unsafe(text: str) -> Iterator[_Fault]:
    """What is read no further: too much of it, or what makes a reader see other things than stand there."""
    if len(text.encode(errors="replace")) > MAX_BYTES:
        yield 0, 0, f"over the limit of {MAX_BYTES // 2**10} KB: share fewer Spaces in a file"
    elif (odd := _UNSEEN.search(text)) is not None:
        start = odd.start()
        yield text.count("\n", 0, start), start - text.rfind("\n", 0, start) - 1, _unseen(odd[0])
    else:
        try:
            yield from _odd_events(text)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark
            yield mark.line if mark else 0, mark.column if mark else 0, unreadable(text, error)
        except (yaml.YAMLError, RecursionError) as error:
            yield 0, 0, f"not YAML: {error}"


def _odd_events(text: str) -> Iterator[_Fault]:
    depth = documents = 0
    for count, event in enumerate(yaml.parse(text, LOADER)):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        documents += isinstance(event, yaml.DocumentStartEvent)
        if depth > _MAX_DEPTH or count > _MAX_EVENTS or documents > 1:
            many = f"over {_MAX_EVENTS:,} values: share fewer Spaces in a file"
            deep = f"over {_MAX_DEPTH} levels deep" if depth > _MAX_DEPTH else many
            yield _at(event, "a second document" if documents > 1 else deep)
            return
        if (words := _oddity(event)) is not None:
            yield _at(event, words)


def _oddity(event: Any) -> str | None:
    if isinstance(event, yaml.AliasEvent):
        return f"an alias (*{event.anchor}): write out what it stands for"
    if getattr(event, "anchor", None) is not None:
        return f"an anchor (&{event.anchor}): write out each value"
    if getattr(event, "tag", None) is not None:
        return f"a tag ({event.tag}): write plain values"
    if not isinstance(event, yaml.ScalarEvent):
        return None
    if event.value == "<<":
        return "a merge key (<<): write out each value"
    if (odd := _UNSEEN.search(event.value)) is not None:
        return _unseen(odd[0])
    return f"a text of over {_MAX_TEXT:,} characters" if len(event.value) > _MAX_TEXT else None


def _unseen(character: str) -> str:
    return f"the character U+{ord(character):04X}, which does not show. Remove it"


def _structure(node: yaml.Node | None, *, top: bool = False) -> Iterator[_Fault]:
    """Keys that are there twice, or no words, on any level; and on the top unknown ones."""
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _structure(item)
    if not isinstance(node, yaml.MappingNode):
        if top:
            yield 0, 0, "not a collection: it has no 'spaces:' mapping"
        return
    yield from (_at(twice, f"'{twice.value}' is there twice") for twice in twins(node))
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            yield _at(key, "a key that is not a word")
        elif top and key.value not in ("spaces", "categories"):
            yield _at(key, f"unknown key '{key.value}': there are 'spaces' and 'categories'")
        yield from _structure(value)


def _part(root: yaml.Node | None, name: str) -> yaml.Node | None:
    pairs = root.value if isinstance(root, yaml.MappingNode) else ()
    return next((value for key, value in pairs if key.value == name), None)


def _spaces(
    root: yaml.Node | None,
) -> Iterator[tuple[yaml.ScalarNode, SpaceEntry | None, list[_Fault]]]:
    """Each Space's key, its entry if that can be read, and what is wrong with it."""
    spaces = _part(root, "spaces")
    pairs = spaces.value if isinstance(spaces, yaml.MappingNode) else ()
    for number, (key, value) in enumerate(pairs):
        if not isinstance(key, yaml.ScalarNode):
            continue
        if number == MAX_SPACES:
            yield key, None, [_at(key, f"over {MAX_SPACES} Spaces: share fewer in a file")]
            return
        row = row_of(key, value)
        own = [(key.start_mark.line + fault.line, fault.column, fault.words) for fault in row.faults]
        found = [*_wrong(key, value), *own]
        yield key, row.entry, [(line, column, f"spaces.{key.value}: {why}") for line, column, why in found]


def _wrong(key: yaml.ScalarNode, entry: yaml.Node) -> Iterator[_Fault]:
    """What no collection may say, whether it can be read or not."""
    if len(key.value) > MAX_NAME or not SPACE_NAME.fullmatch(key.value):
        yield _at(key, "not a Space's name: use letters, digits, '.', '_' and '-'")
    for field, value in entry.value if isinstance(entry, yaml.MappingNode) else ():
        name = str(field.value)
        if name in _UNSHARED:
            yield _at(field, f"{_UNSHARED[name]}. Leave it out")
        elif name == "id" and value.value != key.value:
            yield _at(value, f"its id is '{value.value}'. They are the same name")
        elif name == "verified" and value.value != "never":
            yield _at(field, "each host validates Spaces itself. Write never, or leave it out")
        yield from _secrets(value, name)


def _secrets(node: yaml.Node, name: str) -> Iterator[_Fault]:
    if isinstance(node, yaml.ScalarNode) and looks_secret(name, node.value):
        # The value is not repeated.
        yield _at(node, f"{name} looks like a secret. Remove it, and have each host set its own")
    for part in node.value if not isinstance(node, yaml.ScalarNode) else ():
        if isinstance(part, tuple):
            yield from _secrets(part[1], str(part[0].value))
        else:
            yield from _secrets(part, name)


def _categorized(
    root: yaml.Node | None, entries: dict[str, Mapping[str, Any]], places: Mapping[str, str]
) -> Iterator[_Fault]:
    """Give the Spaces that name no category that of the list which has them; what is wrong with the lists."""
    lists = _part(root, "categories")
    if not places and isinstance(root, yaml.MappingNode):
        yield _at(root, "not a collection: it has no Spaces below 'spaces:'")
    for key, names in lists.value if isinstance(lists, yaml.MappingNode) else ():
        if not isinstance(names, yaml.SequenceNode):
            yield _at(key, f"categories.{key.value}: not a list of names")
            continue
        for item in names.value:
            name = str(item.value)
            fields = entries.get(name, {})
            if name not in places:
                yield _at(item, f"categories.{key.value}: the file has no Space '{name}'")
            elif fields.get("category", key.value) != key.value:
                words = f"'{name}' says that its category is '{fields['category']}'"
                yield _at(item, f"categories.{key.value}: {words}")
            elif name in entries:
                entries[name] = {**fields, "category": str(key.value)}
