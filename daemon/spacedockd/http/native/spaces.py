"""Spaces over HTTP: which there are, which suit a task, what one can do, whether it works."""

from __future__ import annotations

from typing import Annotated

from aiohttp import web
from pydantic import BaseModel, Field

from spacedock._wire.rpc import ValidateOptions
from spacedock._wire.view.tokens import Scope
from spacedock._wire.wire import checked
from spacedock.errors import SpaceNotFoundError
from spacedock.replies.spaces import (
    AboutReply,
    EndpointSchema,
    PullReply,
    RecommendReply,
    SearchReply,
    SpaceProfile,
    SpaceRow,
    SpacesData,
    ValidateReply,
)
from spacedockd.http.context import DoorContext
from spacedockd.http.native.operation import ApiOperation, answered


class ListSpacesQuery(BaseModel):
    """Whether to ask the host for the state of each Space (`here`)."""

    status: bool = False


class SearchQuery(BaseModel):
    """Words, or a category, or both; and how many Spaces of the Hub to name."""

    q: str = Field(default="", max_length=2000)
    category: str | None = Field(default=None, min_length=1, max_length=100)
    limit: int = Field(default=20, ge=1, le=100)


class RecommendQuery(BaseModel):
    """The task in words, the names of its files, or a category; `performance_first`: warm and fast ones."""

    task: str = Field(default="", max_length=2000)
    file: list[Annotated[str, Field(max_length=255)]] = Field(default=[], max_length=20)
    category: str | None = Field(default=None, min_length=1, max_length=100)
    limit: int = Field(default=5, ge=1, le=50)
    performance_first: bool = False


async def _list(context: DoorContext, request: web.Request, query: ListSpacesQuery) -> web.Response:
    """List the Spaces of the registry: their entries by their names, with what is `here` where asked for."""
    found = await context.client.spaces.list(status=query.status)
    if not query.status:
        return answered(found.spaces)
    here = checked(SpacesData, found.data, "list").get("status", {})
    return answered({name: {**entry, "here": here.get(name)} for name, entry in found.spaces.items()})


async def _profiles(context: DoorContext, request: web.Request, query: BaseModel) -> web.Response:
    """Tell what was measured of all Spaces that have run, by their names; of each its newest image alone."""
    return answered(await context.client.spaces.profiles())


async def _search(context: DoorContext, request: web.Request, query: SearchQuery) -> web.Response:
    """Find Spaces by words or category, in the registry (`here`) and on the Hub (`spaces`)."""
    return answered(await context.client.spaces.search(query.q, query.category, query.limit))


async def _recommend(context: DoorContext, request: web.Request, query: RecommendQuery) -> web.Response:
    """Recommend Spaces of the registry for a task, the best first, each with its reasons."""
    found = await context.client.spaces.recommend(
        query.task,
        files=query.file,
        category=query.category,
        limit=query.limit,
        performance_first=query.performance_first,
    )
    return answered(found)


async def _show(context: DoorContext, request: web.Request, query: BaseModel) -> web.Response:
    """Show a Space: its entry and what is `here` of it; of one that the registry lacks, what the Hub says."""
    name = request.match_info["name"]
    try:
        entry, here = await context.client.spaces.status(name)
    except SpaceNotFoundError:
        if "/" not in name:
            raise
        return answered(await context.client.spaces.about(name))
    return answered({**entry, "here": here})


async def _endpoints(context: DoorContext, request: web.Request, query: BaseModel) -> web.Response:
    """Tell a Space's endpoints with the JSON Schemas of their inputs, as far as it has run here."""
    return answered(await context.client.spaces.endpoints(request.match_info["name"]))


async def _validate(context: DoorContext, request: web.Request, query: ValidateOptions) -> web.Response:
    """Say whether a Space can run here, check by check."""
    name = request.match_info["name"]
    return answered(await context.client.spaces.validate(name, deep=query.deep, timeout=query.timeout))


async def _pull(context: DoorContext, request: web.Request, query: BaseModel) -> web.Response:
    """Get a Space's image ahead of its first job: pulled, else built."""
    return answered(await context.client.spaces.pull(request.match_info["name"]))


_ONE = "/spaces/{name}"
OPERATIONS = (
    ApiOperation("GET", "/spaces", _list, {200: dict[str, SpaceRow]}, query=ListSpacesQuery),
    ApiOperation("GET", "/spaces/profiles", _profiles, {200: dict[str, SpaceProfile]}),
    ApiOperation("GET", "/spaces/search", _search, {200: SearchReply}, query=SearchQuery),
    ApiOperation("GET", "/spaces/recommend", _recommend, {200: RecommendReply}, query=RecommendQuery),
    ApiOperation("GET", f"{_ONE}/endpoints", _endpoints, {200: list[EndpointSchema]}),
    ApiOperation("POST", f"{_ONE}/validate", _validate, {200: ValidateReply}, Scope.OPERATE, ValidateOptions),
    ApiOperation("POST", f"{_ONE}/pull", _pull, {200: PullReply}, Scope.OPERATE),
    ApiOperation("GET", _ONE, _show, {200: SpaceRow | AboutReply}),
)
