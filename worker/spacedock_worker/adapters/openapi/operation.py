"""One operation of an API, and from a value's schema to the slot that a caller fills, and how it travels."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain, islice
from typing import Any

from spacedock_worker.adapters.endpoint import Endpoint, InputSlot
from spacedock_worker.adapters.faults import shortened
from spacedock_worker.adapters.openapi.schema import (
    Schemas,
    choices_of,
    kind_of,
    listed,
    table,
    words_of,
)

JSON = "application/json"
MULTIPART = "multipart/form-data"
FORM = "application/x-www-form-urlencoded"


class Where(StrEnum):
    """The part of the request that holds a value; `body` is the whole of it, `field` one field."""

    PATH = "path"
    QUERY = "query"
    FIELD = "field"
    BODY = "body"


class Written(StrEnum):
    """How a value is written: as it is, a file as text, a text as a list of texts, of chat messages, or
    within an object."""

    PLAIN = "plain"
    BASE64 = "base64"
    DATA_URL = "data_url"
    TEXTS = "texts"
    MESSAGES = "messages"
    WITHIN = "within"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One value of the request: the slot that a caller fills, and the app's own name for it.

    An `optional` one is left out where it has its default, which the app knows best. `key` is the text's
    place in the object that holds it.
    """

    slot: InputSlot
    name: str
    where: Where
    written: Written = Written.PLAIN
    optional: bool = False
    key: str = ""


@dataclass(frozen=True, slots=True)
class Operation:
    """How to call an endpoint: `path` with {names}, `parameters` by slot position.

    `media_type` is the body's, empty where there is none.
    """

    endpoint: Endpoint
    method: str
    path: str
    parameters: tuple[Parameter, ...]
    media_type: str = ""
    body_required: bool = False


MAX_NAME = 100
MAX_OWN_NAME = 256
MAX_LEVEL = 1000
MAX_DEFAULT_DEPTH = 8
_COMPONENTS = {"string": "textbox", "number": "number", "integer": "number", "boolean": "checkbox"}
_MEDIA = {
    "image": {"image", "images", "img", "picture", "photo", "mask"},
    "audio": {"audio", "sound", "wav", "speech", "voice", "recording"},
    "video": {"video", "videos", "movie"},
}
_FILE_WORDS = frozenset({"file", "files", "document", "pdf"}.union(*_MEDIA.values()))
_DATA_URL = re.compile(r"data[ _-]?ur[li]|data:[a-z]")
_MEDIA_TYPE = re.compile(r"[a-z]+/[a-z0-9.+*-]+")


class UnusableError(Exception):
    """An operation that cannot be called; the message says why."""


@dataclass(frozen=True, slots=True)
class Told:
    """What the document says of one value: its name, schema and place.

    `raw` says that files travel as themselves there, `media_types` which ones are taken.
    """

    name: str
    schema: dict[str, Any]
    where: Where
    required: bool
    raw: bool = False
    media_types: str = ""


def parameter_of(told: Told, schemas: Schemas, position: int) -> Parameter:
    """The parameter with its slot. Raises TooComplicatedError, and UnusableError for an unusable name."""
    if not told.name.isprintable() or not 0 < len(told.name) <= MAX_OWN_NAME:
        raise UnusableError("a parameter has an empty, too long or unprintable name")
    several = kind_of(told.schema) == "array"
    inner = schemas.flat(told.schema.get("items")) if several else told.schema
    component, written = _component(told, inner, several)
    key = "" if several or component != "json" else _only_text(told, schemas)
    if key:
        component, written = "textbox", Written.WITHIN
    default = told.schema.get("default")
    has_default = "default" in told.schema and _is_plain(default, schemas)
    choices = choices_of(inner)
    schemas.spend(len(choices))
    if told.required and not has_default and "const" in inner and choices and not several:
        default, has_default = choices[0], True
    slot = InputSlot(
        name=shortened(told.name, MAX_NAME) or f"input_{position}",
        label="message" if written is Written.MESSAGES else _label(told.schema),
        component=component,
        position=position,
        required=told.required and not has_default,
        default=default if has_default else None,
        choices=tuple((shortened(str(value), MAX_NAME), value) for value in choices),
        many=several and (component == "dropdown" or component in _MEDIA or component == "file"),
        accepts=_accepted(told.media_types),
    )
    return Parameter(slot, told.name, told.where, written, not told.required, key)


def _component(told: Told, inner: Mapping[str, Any], several: bool) -> tuple[str, Written]:
    """What a person would see there, in Gradio's names, and how its value is written."""
    as_file = _file_written(told, inner)
    if as_file is not None:
        return _medium(told, inner), as_file
    if choices_of(inner):
        return "dropdown", Written.PLAIN
    kind = kind_of(inner)
    if not several:
        return _COMPONENTS.get(kind, "json"), Written.PLAIN
    if told.name == "messages" and _is_message(inner):
        return "textbox", Written.MESSAGES
    return "json", Written.TEXTS if kind == "string" else Written.PLAIN


def _only_text(told: Told, schemas: Schemas) -> str:
    """The name of the one text that an object must have, as in `{"input": {"prompt": …}}`; empty for none."""
    if not told.required or told.where is not Where.FIELD or told.raw:
        return ""
    parts = table(told.schema.get("properties"))
    needed = [name for name in listed(told.schema.get("required")) if name in parts]
    if len(needed) != 1 or not isinstance(needed[0], str):
        return ""
    inner = schemas.flat(parts[needed[0]])
    return needed[0] if kind_of(inner) == "string" and not choices_of(inner) else ""


def _file_written(told: Told, schema: Mapping[str, Any]) -> Written | None:
    """How a file is sent there; None where no file is wanted."""
    if kind_of(schema) not in ("string", "") or choices_of(schema):
        return None
    form, encoding = schema.get("format"), schema.get("contentEncoding")
    binary = form == "binary" or (_is_binary(schema.get("contentMediaType")) and not encoding)
    if binary and told.raw:
        return Written.PLAIN
    encoded = binary or form in ("byte", "base64") or encoding in ("base64", "base64url")
    if not encoded and (kind_of(schema) != "string" or not _is_base64_by_name(told, schema)):
        return None
    said = (told.name.lower(), *words_of(told.schema), *words_of(schema))
    return Written.DATA_URL if any(map(_DATA_URL.search, said)) else Written.BASE64


def _is_binary(media_type: object) -> bool:
    return isinstance(media_type, str) and not media_type.startswith(("text/", "application/json"))


def _is_base64_by_name(told: Told, schema: Mapping[str, Any]) -> bool:
    named = _words(told.name)
    if named & {"base64", "b64"} or {"data", "url"} <= named or {"data", "uri"} <= named:
        return True
    said = " ".join((*words_of(told.schema), *words_of(schema)))
    return bool(named & _FILE_WORDS) and ("base64" in said or _DATA_URL.search(said) is not None)


def _medium(told: Told, schema: Mapping[str, Any]) -> str:
    media_type = schema.get("contentMediaType")
    kinds = {t.split("/")[0] for t in _accepted(told.media_types)} | (
        {media_type.split("/")[0]} if isinstance(media_type, str) else set()
    )
    named = _words(told.name)
    return next((m for m, words in _MEDIA.items() if m in kinds or words & named), "file")


def _is_message(schema: Mapping[str, Any]) -> bool:
    properties = table(schema.get("properties"))
    return {"role", "content"} <= properties.keys() or not properties


def _accepted(media_types: str) -> tuple[str, ...]:
    found = _MEDIA_TYPE.findall(media_types[:500].lower())
    # Kinds are written as Gradio writes them: "image" for any image.
    names = [name.removesuffix("/*") for name in found]
    return tuple(name for name in names if name not in ("*", "application/octet-stream"))


def _words(name: str) -> set[str]:
    return set(re.findall(r"[a-z0-9]+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name[:MAX_NAME]).lower()))


def _label(schema: Mapping[str, Any]) -> str:
    title = schema.get("title")
    return shortened(title, MAX_NAME) if isinstance(title, str) else ""


def _is_plain(default: object, schemas: Schemas) -> bool:
    """Whether a default can be sent as it is: one that is nested without end cannot."""
    level: list[Any] = [default]
    for _ in range(MAX_DEFAULT_DEPTH):
        inner = (i for value in level for i in chain(table(value).values(), listed(value)))
        level = list(islice(inner, MAX_LEVEL))
        schemas.spend(len(level))
        if not level:
            return True
    return False
