"""Hosts and tiers over HTTP: who works on the queue, and how the host that answers stands."""

from __future__ import annotations

from aiohttp import web
from pydantic import BaseModel

from spacedock.hosts import Host
from spacedock.replies.host import TiersReply
from spacedockd.http.context import DoorContext
from spacedockd.http.native.operation import ApiOperation, answered


async def _hosts(context: DoorContext, request: web.Request, query: BaseModel) -> web.Response:
    """List the hosts of the queue, those that are gone last."""
    return answered(await context.client.hosts())


async def _tiers(context: DoorContext, request: web.Request, query: BaseModel) -> web.Response:
    """Say how this host, its Spaces, its models and the queue stand."""
    return answered(await context.client.tiers())


OPERATIONS = (
    ApiOperation("GET", "/hosts", _hosts, {200: list[Host]}),
    ApiOperation("GET", "/tiers", _tiers, {200: TiersReply}),
)
