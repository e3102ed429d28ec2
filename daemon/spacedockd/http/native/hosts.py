"""Hosts over HTTP: who works on the queue, how the host that answers stands, and all of it at one look."""

from __future__ import annotations

from aiohttp import web
from pydantic import BaseModel

from spacedock._wire.view.board import BoardReply
from spacedock._wire.view.tokens import Scope
from spacedock.hosts import Host
from spacedock.replies.host import TiersReply
from spacedockd.http.context import DoorContext
from spacedockd.http.native.operation import ApiOperation, answered


async def _hosts(context: DoorContext, request: web.Request, query: BaseModel) -> web.Response:
    """List the hosts of the queue, those that are gone last."""
    return answered(await context.client.hosts())


async def _pause(context: DoorContext, request: web.Request, query: BaseModel) -> web.Response:
    """Let a host, by its name or the beginning of its id, take no more jobs."""
    return answered(await context.client.pause_host(request.match_info["host"]))


async def _resume(context: DoorContext, request: web.Request, query: BaseModel) -> web.Response:
    """Let a paused host take jobs again."""
    return answered(await context.client.pause_host(request.match_info["host"], paused=False))


async def _board(context: DoorContext, request: web.Request, query: BaseModel) -> web.Response:
    """Tell how the whole queue stands: who waits, what runs, what ended lately and how."""
    return answered(await context.client.board.look())


async def _tiers(context: DoorContext, request: web.Request, query: BaseModel) -> web.Response:
    """Say how this host, its Spaces, its models and the queue stand."""
    return answered(await context.client.tiers())


OPERATIONS = (
    ApiOperation("GET", "/hosts", _hosts, {200: list[Host]}),
    ApiOperation("POST", "/hosts/{host}/pause", _pause, {200: Host}, Scope.OPERATE),
    ApiOperation("POST", "/hosts/{host}/resume", _resume, {200: Host}, Scope.OPERATE),
    ApiOperation("GET", "/board", _board, {200: BoardReply}),
    ApiOperation("GET", "/tiers", _tiers, {200: TiersReply}),
)
