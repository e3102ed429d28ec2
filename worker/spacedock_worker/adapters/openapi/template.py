"""A request with placeholders that the registry gives, for an API that does not describe itself."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from spacedock.files import Payload
from spacedock_worker.adapters.endpoint import Endpoint, InputSlot
from spacedock_worker.adapters.openapi.operation import FORM, JSON, MULTIPART, Written
from spacedock_worker.adapters.openapi.reading import check_pointer
from spacedock_worker.adapters.openapi.request import AppRequest, written

METHODS = frozenset({"GET", "POST", "PUT", "PATCH"})
ENCODINGS = {"json": JSON, "form": FORM, "multipart": MULTIPART}
MAX_DEPTH = 32
_INPUT = "inputs."
_FILES = {"file": Written.PLAIN, "files": Written.PLAIN, "file.base64": Written.BASE64}
_KNOWN = re.compile(r"\{(prompt|file|files|file\.base64|inputs\.[A-Za-z_][A-Za-z0-9_-]*)\}")
_LIKELY = re.compile(r"\{((?:prompt|files?|inputs?)(?:\.[^{}]*)?)\}")


@dataclass(frozen=True, slots=True)
class Template:
    """How to ask an app: `path` and `body` hold {prompt}, {inputs.NAME}, {file.base64}, {file} and {files}.

    A string that is a placeholder and nothing else becomes its value, with its JSON type. `encoding` is
    "json", "form" or "multipart"; files as themselves need the last. `response` is a JSON pointer (RFC 6901)
    to the part of the answer that counts. Raises ValueError where that cannot be sent.
    """

    path: str
    method: str = "POST"
    body: Any = None
    encoding: str = "json"
    response: str | None = None

    def __post_init__(self) -> None:
        if not self.path.startswith("/"):
            raise ValueError(f"the template's path {self.path!r} must begin with /")
        if self.method not in METHODS:
            raise ValueError(f"the template's method {self.method!r} must be one of {_among(METHODS)}")
        if self.encoding not in ENCODINGS:
            raise ValueError(f"the template's encoding {self.encoding!r} must be one of {_among(ENCODINGS)}")
        if self.encoding != "json" and not isinstance(self.body, Mapping):
            raise ValueError("the template's body must name the fields of the form")
        if self.response is not None:
            check_pointer(self.response)
        for text in _strings([self.path, self.body]):
            self._check(text)

    def _check(self, text: str) -> None:
        unknown = [name for name in _LIKELY.findall(text) if not _KNOWN.fullmatch(f"{{{name}}}")]
        if unknown:
            raise ValueError(
                f"the template has no placeholder {{{unknown[0]}}}; see {{prompt}}, {{inputs.NAME}}"
            )
        raw = [name for name in _KNOWN.findall(text) if name in ("file", "files")]
        alone = text == f"{{{raw[0]}}}" if raw else True
        if raw and (self.encoding != "multipart" or not alone or text == self.path):
            raise ValueError(
                f"{{{raw[0]}}} can only be a field of a multipart form: use {{file.base64}} here"
            )

    @property
    def endpoint(self) -> Endpoint:
        """What a caller sees of it; its name is the path."""
        slots = tuple(_slot(name, place) for place, name in enumerate(self._names()))
        return Endpoint(self.path, slots, len(slots), ("json",))

    def request(self, data: Sequence[Any], files: Sequence[Payload]) -> AppRequest:
        """The request with a value for each slot of the endpoint, `Upload` where it is a file."""
        values = dict(zip(self._names(), data, strict=True))
        for name in _FILES.keys() & self._placeholders():
            values[name] = written(_FILES[name], values[_slot_of(name)], files)
        path = _KNOWN.sub(lambda found: quote(_text(values[found[1]]), safe=""), self.path)
        if self.body is None:
            return AppRequest(self.method, path)
        body = _filled(self.body, values)
        fields = body if self.encoding == "json" else list(body.items())
        return AppRequest(self.method, path, ENCODINGS[self.encoding], fields)

    def _names(self) -> list[str]:
        """The slots' names, each once, in the order of the template; both forms of a file are one."""
        return list(dict.fromkeys(_slot_of(name) for name in self._placeholders()))

    def _placeholders(self) -> dict[str, None]:
        found = (name for text in _strings([self.path, self.body]) for name in _KNOWN.findall(text))
        return dict.fromkeys(found)


def _slot(name: str, position: int) -> InputSlot:
    if name.startswith(_INPUT):
        # No component of ours: what is JSON is sent as that, all else as a string.
        return InputSlot(name.removeprefix(_INPUT), "", "any", position, required=True)
    is_file = name in _FILES
    component = "file" if is_file else "textbox"
    return InputSlot(name, "", component, position, required=True, many=name == "files")


def _slot_of(name: str) -> str:
    return "file" if name == "file.base64" else name


def _strings(value: Any, depth: int = 0) -> Iterator[str]:
    """Every string in a template, its keys aside."""
    if depth > MAX_DEPTH:
        raise ValueError(f"the template's body is nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _strings(item, depth + 1)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _strings(item, depth + 1)


def _filled(value: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(value, str):
        whole = _KNOWN.fullmatch(value)
        return values[whole[1]] if whole else _KNOWN.sub(lambda found: _text(values[found[1]]), value)
    if isinstance(value, Mapping):
        return {key: _filled(item, values) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_filled(item, values) for item in value]
    return value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _among(names: Any) -> str:
    return ", ".join(sorted(names))
