"""Spacedock's own API over HTTP: all of its operations."""

from __future__ import annotations

from aiohttp import web

from spacedockd.http.context import DoorContext
from spacedockd.http.native import batches, documents, events, files, hosts, jobs, pipelines, spaces
from spacedockd.http.native.operation import ApiOperation

OPERATIONS: tuple[ApiOperation, ...] = (
    *jobs.OPERATIONS,
    *events.OPERATIONS,
    *files.OPERATIONS,
    *batches.OPERATIONS,
    *pipelines.OPERATIONS,
    *spaces.OPERATIONS,
    *hosts.OPERATIONS,
)


def routes(context: DoorContext) -> list[web.RouteDef]:
    """The routes of all operations, and of the document that describes them."""
    made = [operation.route(context) for operation in OPERATIONS]
    return [*made, *documents.routes(OPERATIONS)]
