"""The codec of every message on the wire: JSON with a version; unknown fields are ignored."""

from __future__ import annotations

import gc
import json
import re
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any, TypeVar, cast

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from spacedock.errors import WireError

VERSION = 1

MAX_REQUEST_BYTES = 2**20 + 2**16
"""Of a job's request without its files: with MAX_NESTS a worker reads so much in 30 ms, whatever it holds."""

MAX_CALL_BYTES = MAX_REQUEST_BYTES + 2**16
"""Of a control call, which may hold a request."""

MAX_NESTS = 50_000
"""Lists and objects in a request or a call."""

MAX_EVENT_BYTES = 2**16
MAX_BYTES = 2**26
"""Of anything else: results and replies."""

_TEXT, _NUMBER, _WHOLE, _MAPPING, _LIST = (
    "must be a text",
    "must be a number",
    "must be a whole number",
    "must be a mapping of names to values",
    "must be a list",
)
_TIME = "must be a time, such as 2026-01-31T12:00:00Z"
_WORDS: Mapping[str, str] = {
    "missing": "is missing",
    "extra_forbidden": "is unknown: leave it out",
    "none_required": "must be left out",
    "string_type": _TEXT,
    "string_sub_type": _TEXT,
    "string_unicode": _TEXT,
    "bytes_type": _TEXT,
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "must be of the form {pattern}",
    "too_short": "must have at least {min_length} entries",
    "too_long": "must have at most {max_length} entries",
    "int_type": _WHOLE,
    "int_parsing": _WHOLE,
    "int_parsing_size": "must be a smaller number",
    "int_from_float": _WHOLE,
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "finite_number": "must be a finite number",
    "greater_than": "must be over {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be under {lt}",
    "less_than_equal": "must be at most {le}",
    "multiple_of": "must be a multiple of {multiple_of}",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "enum": "must be {expected}",
    "literal_error": "must be {expected}",
    "union_tag_invalid": "must be {expected_tags}",
    "union_tag_not_found": "does not say of which kind it is: {discriminator} is missing",
    "list_type": _LIST,
    "tuple_type": _LIST,
    "set_type": _LIST,
    "frozen_set_type": _LIST,
    "iterable_type": _LIST,
    "dict_type": _MAPPING,
    "mapping_type": _MAPPING,
    "model_type": _MAPPING,
    "model_attributes_type": _MAPPING,
    "dataclass_type": _MAPPING,
    "path_type": "must be a path",
    **dict.fromkeys(("datetime_type", "datetime_parsing", "datetime_from_date_parsing"), _TIME),
    **dict.fromkeys(("ip_v4_network", "ip_v6_network"), "must be a network, such as 10.0.0.0/8"),
    "recursion_loop": "must not be in itself",
    "json_invalid": "must be JSON",
    "json_type": "must be JSON",
    "invalid_key": "must have names that are texts",
}
"""What is said of a value, by pydantic's name of the fault; its own words are for programmers of Python."""

_PATTERNS: Mapping[str, str] = {
    "^/": "must begin with '/'",
    "^[^=]+=": "must be NAME=VALUE",
    r"^[^/\\\x00]+$": "must be a file's name, without a path",
    "^[0-9a-f]{64}$": "must be a SHA-256 in 64 lower-case hexadecimal digits",
    "^[A-Za-z0-9_-]+$": "must be letters, digits, '_' and '-'",
    r"^[^\W\d][\w-]*$": "must begin with a letter, and have letters, digits, '_' and '-' alone",
    "^[A-Za-z0-9_.-]{4,100}$": "must be 4 to 100 letters, digits, '_', '.' and '-'",
    "^[A-Za-z0-9_][A-Za-z0-9._-]*$": "must be letters, digits, '_', '.' and '-'",
    "^[A-Za-z0-9][A-Za-z0-9._-]*$": "must be letters, digits, '_', '.' and '-'",
    "^[A-Za-z0-9][A-Za-z0-9._/-]*$": "must be a branch, a tag or a commit",
    "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$": "must be lower-case letters, digits and '-'",
    "^[a-z0-9]+/[a-z0-9]+(/[a-z0-9]+)?$": "must be a platform, such as linux/amd64",
    "^(/[A-Za-z0-9._~-]+)*$": "must be a path such as /app, and not end with '/'",
    "^sha256:[0-9a-f]{64}$": "must be sha256: and 64 lower-case hexadecimal digits",
    "^[!-~]([ -~]{0,253}[!-~])?$": "must be a media type, such as image/png",
    r"^[A-Za-z_][A-Za-z0-9_]*$": "must be letters, digits and '_', and not begin with a digit",
}

_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_SHOWN_ERRORS, _SHOWN_LENGTH = 5, 200
_MOST_NUMBER = 1e12

Model = TypeVar("Model", bound=BaseModel)
T = TypeVar("T")


@contextmanager
def uncollected() -> Iterator[None]:
    """Keep the garbage collector away while the block, or a function that this decorates, makes many values.

    While their number grows, it looks through all of them again and again, and no thread runs meanwhile.
    """
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def encode(message: BaseModel) -> bytes:
    """Write a message as JSON; its version stands in the field `v`."""
    body = message.model_dump_json()
    return (f'{{"v":{VERSION}' + ("," if body != "{}" else "") + body[1:]).encode()


def encode_repaired(message: BaseModel) -> bytes:
    """Write a message that may quote an app or a file: half surrogates, which are no UTF-8, are replaced.

    Raises ValueError, TypeError or RecursionError where it is no JSON for another reason.
    """
    try:
        return encode(message)
    except ValueError:
        return _whole({"v": VERSION, **message.model_dump()})


def repaired(raw: bytes) -> bytes:
    """A message that somebody else may have written, its half surrogates replaced; what is no JSON stays."""
    if b"\\ud" not in raw.lower():
        return raw
    try:
        return _whole(json.loads(raw))
    except (ValueError, RecursionError):
        return raw


def _whole(value: object) -> bytes:
    """The value as JSON in UTF-8, which has no halves of surrogate pairs."""
    text = json.dumps(value, ensure_ascii=False)
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


@uncollected()
def decode(kind: type[Model], raw: bytes | str, most: int = MAX_BYTES) -> Model:
    """Read a message of at most `most` bytes.

    Raises WireError where it is longer, not JSON, of an unknown version, or not a `kind`.
    """
    if len(raw) > most:
        raise too_large(kind.__name__, most)
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise WireError(f"not a {kind.__name__}: not JSON ({error})") from error
    if not isinstance(body, dict) or "v" not in body:
        raise WireError(f"not a {kind.__name__}: no version")
    if body.pop("v") != VERSION:
        raise WireError(
            f"{kind.__name__} of an unknown version: this side speaks version {VERSION}; upgrade it"
        )
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        # Not "from error": a traceback would quote the values, and they may hold prompts.
        raise WireError(f"not a {kind.__name__}: {describe(error)}") from None


def decode_bounded(kind: type[Model], raw: bytes, most: int) -> Model:
    """Read a message that anybody may have written, where others wait meanwhile. Raises WireError."""
    if len(raw) <= most and too_complex(raw):
        raise WireError(f"the {kind.__name__} holds over {MAX_NESTS} lists and objects")
    return decode(kind, raw, most)


def too_complex(raw: bytes) -> bool:
    """Whether JSON holds more lists and objects than are read; brackets in strings do not count."""
    if raw.count(b"[") + raw.count(b"{") <= MAX_NESTS:
        return False
    bare = _STRING.sub(b"", raw)
    return bare.count(b"[") + bare.count(b"{") > MAX_NESTS


def too_large(what: str, most: int) -> WireError:
    """The error for a message that nobody reads, as it has more than `most` bytes."""
    return WireError(f"the {what} is over the limit of {most // 2**20 or most / 2**20:.3g} MB")


def describe(error: ValidationError) -> str:
    """Say in one line what is wrong, without repeating the values (they may hold prompts)."""
    errors = error.errors(include_url=False, include_input=False)
    # A union of types has a fault for each, often in the same words.
    found = list(dict.fromkeys(_fault(item["loc"], words_of(item)) for item in errors))
    shown = found[:_SHOWN_ERRORS]
    more = [f"and {len(found) - len(shown)} more"] if len(found) > len(shown) else []
    return "; ".join(shown + more)


def words_of(fault: ErrorDetails) -> str:
    """What is wrong with one value, in words for people, without the value."""
    kind, context = fault["type"], fault.get("ctx", {})
    if known := _PATTERNS.get(context.get("pattern", "")) or _WORDS.get(kind):
        return known.format_map({name: _readable(value) for name, value in context.items()})
    return fault["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")


def _readable(value: object) -> object:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return f"{value:,}" if isinstance(value, int) else value


def _fault(place: tuple[int | str, ...], reason: str) -> str:
    if place[-1:] == ("[key]",):
        reason = f"its name {reason}"
    # What has a bracket is pydantic's name of a type.
    named = ".".join(part for part in map(str, place) if "[" not in part)[:_SHOWN_LENGTH]
    return f"{named}: {reason}" if named else reason


def labels_in(raw: bytes | None) -> dict[str, str]:
    """The labels of a job as its record and its last event hold them; none where they are rubbish."""
    with suppress(ValueError, AttributeError):
        return {str(name): str(value) for name, value in json.loads(raw or b"{}").items()}
    return {}


def number_in(raw: bytes | str | None) -> float:
    """A number of Redis's, such as a time; 0 where it is rubbish."""
    try:
        number = float(raw or 0)
    except ValueError:
        return 0.0
    return number if 0 <= number < _MOST_NUMBER else 0.0


def checked(kind: type[T], data: object, what: str) -> T:
    """The answer to the call `what`, as it came: fields that this version does not know stay.

    Raises WireError where a field is missing or of another type, as in an answer of another version.
    """
    try:
        _adapter(cast(Hashable, kind)).validate_python(data)
    except ValidationError as error:
        message = f"the worker's answer to '{what}' cannot be read: {describe(error)}"
        raise WireError(f"{message}. Have client and daemon the same version?") from error
    return cast(T, data)


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
