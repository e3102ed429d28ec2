"""What an app says about itself in `/openapi.json` (OpenAPI 3.0 and 3.1), as operations; it is untrusted.

`servers` is not read: an app must not send the worker elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import structlog

from spacedock_worker.adapters.binding import kinds
from spacedock_worker.adapters.endpoint import Endpoint
from spacedock_worker.adapters.faults import bad_output
from spacedock_worker.adapters.names import MEDIA_TYPE
from spacedock_worker.adapters.openapi.operation import (
    FORM,
    JSON,
    MULTIPART,
    Operation,
    Parameter,
    Told,
    UnusableError,
    Where,
    Written,
    parameter_of,
)
from spacedock_worker.adapters.openapi.schema import (
    Schemas,
    TooComplicatedError,
    kind_of,
    listed,
    table,
)

MAX_OPERATIONS = 256
MAX_PATH = 500
METHODS = ("post", "put", "patch", "get")
PLACEHOLDER = re.compile(r"\{([^{}]+)\}")
# Last words of paths that serve whoever runs the app, not whoever uses it.
CHORES = re.compile(
    "health|healthz|healthcheck|live|livez|liveness|ready|readyz|readiness|ping|status|docs|redoc|openapi"
    "|swagger|metrics|version|info|favicon|login|logout|token|auth|register|feedback"
)

log = structlog.get_logger()


def describe(document: object) -> tuple[Operation, ...]:
    """The operations that can be called, in the document's order; one for each path.

    What cannot be understood is left out. Raises StepError of kind `bad_output` where the document is none
    of OpenAPI 3.
    """
    if not isinstance(document, dict) or not isinstance(document.get("paths"), dict):
        raise bad_output(
            "the app's /openapi.json describes no paths, as OpenAPI 3 does. Give the Space a request template"
        )
    schemas = Schemas(document)
    operations: dict[str, Operation] = {}
    for path, item in islice(document["paths"].items(), MAX_OPERATIONS):
        operation = _operation(schemas, path, item)
        if operation is not None:
            operations.setdefault(operation.endpoint.name, operation)
    return _with_twins(tuple(operations.values()))


def _operation(schemas: Schemas, path: str, item: object) -> Operation | None:
    try:
        schemas.begin()
        methods = schemas.follow(item)
        method = next((m for m in METHODS if isinstance(methods.get(m), dict)), None)
        return None if method is None else _read(schemas, path, methods, method)
    except TooComplicatedError:
        log.info("openapi.operation_skipped", reason="too complicated")
    except UnusableError as error:
        log.info("openapi.operation_skipped", reason=str(error))
    return None


def _read(schemas: Schemas, path: str, methods: Mapping[str, Any], method: str) -> Operation:
    if not path.startswith("/") or not path.isprintable() or len(path) > MAX_PATH:
        raise UnusableError("its path is none")
    said = methods[method]
    body = body_of(schemas, said.get("requestBody")) if method != "get" else Body()
    told = [*placed(schemas, [*listed(methods.get("parameters")), *listed(said.get("parameters"))])]
    missing = set(PLACEHOLDER.findall(path)) - {t.name for t in told if t.where is Where.PATH}
    if missing or len(told) + len(body.told) > MAX_PARAMETERS:
        raise UnusableError("a part of its path is not described" if missing else "too many parameters")
    parameters = _promoted(
        [parameter_of(each, schemas, place) for place, each in enumerate([*told, *body.told])]
    )
    endpoint = Endpoint(
        name=path,
        slots=tuple(parameter.slot for parameter in parameters),
        width=len(parameters),
        outputs=_outputs(schemas, said.get("responses")),
        visible=not _is_chore(path) and said.get("deprecated") is not True,
        pressed=method != "get" or any(t.required and t.where is Where.QUERY for t in told),
        # Where the same work can be asked for with a file or with its base64, the file is the shorter way.
        primary=any(kinds.takes_files(p.slot) and p.written is Written.PLAIN for p in parameters),
    )
    return Operation(endpoint, method.upper(), path, tuple(parameters), body.media_type, body.required)


def _promoted(parameters: list[Parameter]) -> list[Parameter]:
    """A list of texts takes the prompt as its only text, where nothing else could take it."""
    lists = [p for p in parameters if p.written is Written.TEXTS and p.slot.required]
    if len(lists) != 1 or any(kinds.takes_text(p.slot) for p in parameters):
        return parameters
    return [replace(p, slot=replace(p.slot, component="textbox")) if p is lists[0] else p for p in parameters]


def _outputs(schemas: Schemas, responses: object) -> tuple[str | None, ...]:
    """One component for what comes back; none where only statuses without a body are described."""
    good = [(status, node) for status, node in islice(table(responses).items(), 64) if status[:1] in "2d"]
    if not good:
        return ("json",)
    contents = [table(schemas.follow(node).get("content")) for _, node in good]
    media_type = next((str(key) for content in contents for key in content), None)
    if media_type is None:
        return () if all(status == "204" for status, _ in good) else ("json",)
    if "json" in media_type:
        return ("json",)
    return ("textbox",) if media_type.startswith("text/") else ("file",)


def _is_chore(path: str) -> bool:
    """Whether the path's last word that is no parameter names a chore."""
    words = [part for part in path.lower().split("/") if part and not part.startswith("{")]
    return bool(words) and CHORES.fullmatch(words[-1].split(".")[0]) is not None


def _with_twins(operations: Sequence[Operation]) -> tuple[Operation, ...]:
    """The same work below two paths, such as /predict and /v1/predict, is chosen by its first one."""
    first: dict[object, str] = {}
    found = []
    for operation in operations:
        shape = (operation.method, operation.path.rstrip("/").rsplit("/", 1)[-1], _shape(operation))
        name = first.setdefault(shape, operation.endpoint.name)
        twin = name if name != operation.endpoint.name else None
        found.append(replace(operation, endpoint=replace(operation.endpoint, twin=twin)))
    return tuple(found)


def _shape(operation: Operation) -> tuple[object, ...]:
    return tuple((p.name, p.where, p.slot.component, p.slot.required) for p in operation.parameters)


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
