"""One request to an app, built from an operation and the values of its slots."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp

from spacedock.files import Payload
from spacedock_worker.adapters.binding.files import Upload
from spacedock_worker.adapters.binding.kinds import UNKNOWN_MEDIA
from spacedock_worker.adapters.names import MEDIA_TYPE, encodable, safe_name
from spacedock_worker.adapters.openapi.operation import (
    FORM,
    JSON,
    MULTIPART,
    Operation,
    Parameter,
    Where,
    Written,
)

Fields = Sequence[tuple[str, Any]]
_IN_PATH = "/{}%:@!$&'()*+,;=~-._"


@dataclass(frozen=True, slots=True)
class AppRequest:
    """What is sent: `path` is encoded, with its query; `media_type` says what `body` is, empty for none.

    The body is a JSON value, (name, value) pairs for a form, else a text or a file.
    """

    method: str
    path: str
    media_type: str = ""
    body: Any = None

    def data(self) -> Any:
        """The body as aiohttp sends it, once; ask again for another try."""
        if not self.media_type:
            return None
        if self.media_type in (MULTIPART, FORM):
            return _form(self.body, multipart=self.media_type == MULTIPART)
        if self.media_type == JSON:
            return _bytes(json.dumps(self.body).encode(), JSON)
        if isinstance(self.body, Payload):
            return _bytes(self.body.data, media_type_of(self.body))
        return _bytes(_text(self.body).encode(), f"{self.media_type}; charset=utf-8")


def build(operation: Operation, data: Sequence[Any], files: Sequence[Payload]) -> AppRequest:
    """The request for an operation; `data` has a value for each of its slots, with `Upload` for a file."""
    sent = [
        (parameter, written(parameter.written, value, files, parameter.key))
        for parameter, value in zip(operation.parameters, data, strict=True)
        if not _is_left_out(parameter, value)
    ]
    path = in_path(operation.path, {p.name: value for p, value in sent if p.where is Where.PATH})
    query = [pair for p, value in sent if p.where is Where.QUERY for pair in _pairs(p.name, value)]
    address = f"{path}?{urlencode(query, quote_via=quote)}" if query else path
    fields = [(p.name, value) for p, value in sent if p.where is Where.FIELD]
    whole = [value for p, value in sent if p.where is Where.BODY]
    if not (fields or whole or operation.body_required):
        return AppRequest(operation.method, address)
    body: Any = whole[0] if whole else dict(fields) if operation.media_type == JSON else fields
    return AppRequest(operation.method, address, operation.media_type, body)


def in_path(path: str, values: Mapping[str, Any]) -> str:
    """`path` percent-encoded, with the values in the place of their {names}."""
    encoded = quote(path, safe=_IN_PATH)
    for name, value in values.items():
        place = quote(f"{{{name}}}", safe=_IN_PATH)
        encoded = encoded.replace(place, quote(_text(value), safe=""))
    return encoded


def written(how: Written, value: Any, files: Sequence[Payload], key: str = "") -> Any:
    """A slot's value as the app takes it, with each file as itself (a Payload) or as text."""
    if isinstance(value, Upload):
        return _file(how, files[value.index])
    if how is Written.TEXTS and isinstance(value, str):
        return _list_of(value, str) or [value]
    if how is Written.MESSAGES and isinstance(value, str):
        return _list_of(value, dict) or [{"role": "user", "content": value}]
    if how is Written.WITHIN and isinstance(value, str):
        return _object_of(value) or {key: value}
    if isinstance(value, list | tuple):
        return [written(how, item, files) if isinstance(item, Upload) else item for item in value]
    return value


def media_type_of(file: Payload) -> str:
    """The file's media type, as it may stand in a header."""
    return file.ref.media_type if MEDIA_TYPE.fullmatch(file.ref.media_type) else UNKNOWN_MEDIA


def _file(how: Written, file: Payload) -> Any:
    if how is Written.PLAIN:
        return file
    text = base64.b64encode(file.data).decode()
    return f"data:{media_type_of(file)};base64,{text}" if how is Written.DATA_URL else text


def _is_left_out(parameter: Parameter, value: Any) -> bool:
    if parameter.optional:
        return bool(value == parameter.slot.default)
    # Only JSON can say null.
    return value is None and parameter.where is Where.QUERY


def _list_of(text: str, kind: type) -> list[Any] | None:
    """The list that the text is in JSON, if it is one of that kind: whoever gives one means it so."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    is_list = isinstance(value, list) and all(isinstance(item, kind) for item in value)
    return value if is_list else None


def _object_of(text: str) -> dict[str, Any] | None:
    """The object that the text is in JSON: whoever gives one means it so."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _form(fields: Fields, *, multipart: bool) -> aiohttp.FormData:
    # Names are sent as browsers send them; aiohttp would percent-encode them.
    form = aiohttp.FormData(quote_fields=False, default_to_multipart=multipart)
    for name, value in fields:
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, Payload):
                file, kind = io.BytesIO(one.data), media_type_of(one)
                form.add_field(name, file, filename=safe_name(one.ref.name), content_type=kind)
            elif one is not None:
                form.add_field(name, _text(one))
    return form


def _pairs(name: str, value: Any) -> list[tuple[str, str]]:
    return [(name, _text(one)) for one in (value if isinstance(value, list) else [value])]


def _text(value: Any) -> str:
    return encodable(value) if isinstance(value, str) else json.dumps(value)


def _bytes(data: bytes, media_type: str) -> aiohttp.BytesIOPayload:
    return aiohttp.BytesIOPayload(io.BytesIO(data), content_type=media_type)
