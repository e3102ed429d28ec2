"""What an operation takes, as the document tells it: parameters in path and query, fields of its body."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from spacedock_worker.adapters.openapi.media import MEDIA_TYPE
from spacedock_worker.adapters.openapi.operation import FORM, JSON, MULTIPART, Where
from spacedock_worker.adapters.openapi.parameters import Told, UnusableError
from spacedock_worker.adapters.openapi.schema import Schemas, kind_of, listed, table

MAX_PARAMETERS = 256
_BINARY: dict[str, Any] = {"type": "string", "format": "binary"}


@dataclass(frozen=True, slots=True)
class Body:
    """A request's body: its media type (empty where there is none), and what it is made of."""

    media_type: str = ""
    required: bool = False
    told: tuple[Told, ...] = ()


def placed(schemas: Schemas, rows: Iterable[Any]) -> Iterator[Told]:
    """The parameters in path and query; the later one of a name wins. Raises TooComplicatedError.

    Those in headers and cookies are left out: where the app needs one, it says so itself.
    """
    found: dict[tuple[str, Where], Told] = {}
    for row in rows:
        parameter = schemas.follow(row)
        name, place = parameter.get("name"), parameter.get("in")
        if not isinstance(name, str) or place not in ("path", "query"):
            continue
        where = Where(place)
        schema = schemas.flat(parameter.get("schema"))
        if "description" in parameter:
            schema.setdefault("description", parameter["description"])
        required = where is Where.PATH or parameter.get("required") is True
        found[name, where] = Told(name, schema, where, required)
    yield from found.values()


def body_of(schemas: Schemas, node: object) -> Body:
    """The body that a `requestBody` describes. Raises TooComplicatedError, UnusableError."""
    said = schemas.follow(node)
    content = table(said.get("content"))
    if not content:
        return Body()
    key, media_type = _chosen(content)
    media, required = schemas.follow(content[key]), said.get("required") is True
    schema = schemas.flat(media.get("schema"))
    if media_type not in (JSON, MULTIPART, FORM):
        if "*" not in media_type and not MEDIA_TYPE.fullmatch(media_type):
            raise UnusableError("its body's media type is none")
        whole = (
            schema
            if kind_of(schema) == "string" and media_type.startswith("text/") and "*" not in media_type
            else _BINARY
        )
        told = Told("body", whole, Where.BODY, required, raw=True, media_types=media_type)
        return Body(media_type, required, (told,))
    if table(schema.get("properties")):
        return Body(media_type, required, tuple(_fields(schemas, schema, media, media_type, required)))
    whole_json = (Told("body", schema, Where.BODY, required),) if media_type == JSON else ()
    return Body(media_type, required, whole_json)


def _chosen(content: Mapping[str, Any]) -> tuple[str, str]:
    """The media type that is easiest to write: its key in the document, and its plain name."""
    plain = {key: key.split(";")[0].strip().lower() for key in islice(content, MAX_PARAMETERS)}
    for wanted in (JSON, MULTIPART, FORM):
        for key, name in plain.items():
            if name == wanted or (wanted == JSON and (name.endswith("+json") or name == "*/*")):
                return key, wanted
    return next(iter(plain.items()))


def _fields(
    schemas: Schemas, schema: Mapping[str, Any], media: Mapping[str, Any], media_type: str, required: bool
) -> Iterator[Told]:
    encoding, needed = table(media.get("encoding")), listed(schema.get("required"))
    for name, node in islice(schema["properties"].items(), MAX_PARAMETERS + 1):
        flat = schemas.flat(node)
        if flat.get("readOnly") is True:
            continue
        types = table(encoding.get(name)).get("contentType")
        wanted = types if isinstance(types, str) else ""
        yield Told(name, flat, Where.FIELD, required and name in needed, media_type == MULTIPART, wanted)
