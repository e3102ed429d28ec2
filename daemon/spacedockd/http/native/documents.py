"""The OpenAPI document of the native API, made from its operations and their models."""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from typing import Any

from aiohttp import web
from pydantic import TypeAdapter

from spacedockd.http.access import route
from spacedockd.http.events import EVENTS
from spacedockd.http.native.operation import BYTES, FORM, ApiOperation, answered

_REF = "#/components/schemas/{model}"
_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": "string"},
            },
        }
    },
}
_HEADERS = {
    "Prefer": (
        r"^[ -~]{0,200}$",
        "`wait=SECONDS`: wait so long for the result; else it is answered at once (202)",
    ),
    "Idempotency-Key": (
        r"^[!-~]{1,180}$",
        "One job for each key of a token; with another body: 422",
    ),
    "Last-Event-ID": (r"^[0-9]{0,15}$", "The number of the last event that came, after which to go on"),
    "Range": (r"^bytes=[0-9]{1,12}-[0-9]{0,12}$", "The bytes wanted, such as bytes=0-99"),
}


def document(operations: Sequence[ApiOperation]) -> dict[str, Any]:
    """The document; version 3.1 of OpenAPI."""
    schemas: dict[str, Any] = {"Error": _ERROR}
    paths: dict[str, Any] = {}
    for one in operations:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Spacedock",
            "version": version("hf-spacedock"),
            "description": "Hugging Face Spaces on your own machines, as durable jobs. See docs/http.md.",
        },
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def routes(operations: Sequence[ApiOperation]) -> list[web.RouteDef]:
    """The route of the document, which is no secret; it is made when somebody first asks for it."""
    made, making = dict[str, Any](), asyncio.Lock()

    async def show(request: web.Request) -> web.Response:
        async with making:
            if not made:
                made.update(await asyncio.to_thread(document, operations))
        return answered(made)

    return [route("GET", "/openapi.json", show, None)]


def _operation(one: ApiOperation, schemas: dict[str, Any]) -> dict[str, Any]:
    said = inspect.getdoc(one.run) or ""
    answer = {str(status): _reply(kind, schemas) for status, kind in one.replies.items()}
    error = {"application/json": {"schema": {"$ref": _REF.format(model="Error")}}}
    found: dict[str, Any] = {
        "summary": said.splitlines()[0],
        "parameters": list(_parameters(one)),
        "responses": {**answer, "default": {"description": "What was wrong", "content": error}},
    }
    if one.scope is not None:
        found["description"] = f"Needs the scope `{one.scope.value}`."
    if one.bodies:
        content = {media: _body(media, kind, schemas) for media, kind in one.bodies.items()}
        # A file may be empty.
        found["requestBody"] = {"required": BYTES not in one.bodies, "content": content}
    return found


def _parameters(one: ApiOperation) -> Iterator[dict[str, Any]]:
    for name in re.findall(r"{(\w+)}", one.path):
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
    query = one.query.model_json_schema()
    for name, field in query.get("properties", {}).items():
        yield {"name": name, "in": "query", "schema": _inlined(field, query.get("$defs", {}))}
    for name in one.headers:
        pattern, said = _HEADERS[name]
        schema = {"type": "string", "pattern": pattern}
        yield {"name": name, "in": "header", "schema": schema, "description": said}


def _inlined(field: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    """A parameter's schema without references and null: a parameter that is not there is not sent."""
    kinds = [one for one in field.get("anyOf", [field]) if one.get("type") != "null"]
    kind = kinds[0]
    if "$ref" in kind:
        kind = known[kind["$ref"].rpartition("/")[2]]
    return {key: value for key, value in kind.items() if key not in ("title", "description")}


def _reply(kind: Any, schemas: dict[str, Any]) -> dict[str, Any]:
    if isinstance(kind, str):
        # What each event is OpenAPI 3.1 cannot say.
        schema = {"schema": {"type": "string"}} if kind != EVENTS else {}
        return {"description": "As it comes", "content": {kind: schema}}
    content = {"application/json": {"schema": _schema(kind, schemas, "serialization")}}
    return {"description": "The answer", "content": content}


def _body(media: str, kind: Any, schemas: dict[str, Any]) -> dict[str, Any]:
    if kind is bytes:
        return {"schema": {"type": "string", "format": "binary"} if media != FORM else _FILE}
    return {"schema": _schema(kind, schemas, "validation")}


_FILE = {
    "type": "object",
    "required": ["file"],
    "properties": {"file": {"type": "string", "format": "binary"}},
}


def _schema(kind: Any, schemas: dict[str, Any], mode: Any) -> dict[str, Any]:
    """The schema of a type; its models go to the document's own."""
    made = TypeAdapter(kind).json_schema(ref_template=_REF, mode=mode)
    schemas.update(made.pop("$defs", {}))
    if isinstance(kind, type) and kind.__module__.startswith("spacedock"):
        schemas[kind.__name__] = made
        return {"$ref": _REF.format(model=kind.__name__)}
    return dict(made)
