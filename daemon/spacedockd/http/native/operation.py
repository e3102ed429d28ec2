"""An operation of the native API: its route, and what the OpenAPI document says of it, in one value."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, get_origin

from aiohttp import web
from pydantic import BaseModel, ConfigDict
from pydantic_core import to_json

from spacedock._wire.view.tokens import Scope
from spacedockd.http.access import route
from spacedockd.http.context import DoorContext
from spacedockd.http.errors import HttpError

JSON, FORM = "application/json", "multipart/form-data"
BYTES = "application/octet-stream"

Run = Callable[[DoorContext, web.Request, Any], Awaitable[web.StreamResponse]]


class NoQuery(BaseModel):
    """An operation that takes nothing in the query."""

    model_config = ConfigDict(frozen=True)


@dataclass(frozen=True, slots=True)
class ApiOperation:
    """One operation. `replies` has the type of each status's body, or its media type if it is not JSON;
    `bodies` those of the request's, by media type. The first line of `run`'s docstring says what it does.
    """

    method: str
    path: str
    run: Run
    replies: Mapping[int, Any]
    scope: Scope | None = Scope.READ
    query: type[BaseModel] = NoQuery
    bodies: Mapping[str, Any] = field(default_factory=dict)
    headers: tuple[str, ...] = ()

    def route(self, context: DoorContext) -> web.RouteDef:
        """The operation as a route; its handler gets the query as its model."""

        async def handler(request: web.Request) -> web.StreamResponse:
            return await self.run(context, request, self.query.model_validate(self._asked(request)))

        # A Hub id has a slash in it.
        name = r"{name:[^/]+(?:/(?!endpoints$|pull$|validate$)[^/]+)?}"
        path = self.path.replace("/spaces/{name}", f"/spaces/{name}")
        return route(self.method, path, handler, self.scope)

    def _asked(self, request: web.Request) -> dict[str, Any]:
        """The query's values. Raises HttpError for what the operation would ignore."""
        given: dict[str, Any] = {}
        for name in request.query:
            values = request.query.getall(name)
            known = self.query.model_fields.get(name)
            if known is None:
                names = ", ".join(self.query.model_fields) or "none"
                raise HttpError(400, "bad_request", f"'{name[:100]}' in the query is unknown. Known: {names}")
            several = get_origin(known.annotation) in (list, tuple)
            if len(values) > 1 and not several:
                raise HttpError(400, "bad_request", f"the query has '{name}' more than once")
            given[name] = values if several else values[0]
        return given


def answered(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """A model, or what JSON can hold of models, as an answer."""
    body = to_json(value, inf_nan_mode="null")
    return web.Response(body=body, status=status, content_type=JSON, headers=headers)
