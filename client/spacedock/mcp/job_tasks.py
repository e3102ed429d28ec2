"""The protocol's Tasks extension (SEP-2663, revision 2026-07-28): a task is a job, its id the job's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel.server import Server
from mcp.shared.exceptions import MCPError
from mcp_types import MISSING_REQUIRED_CLIENT_CAPABILITY, CallToolResult, RequestParams
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import Field

from spacedock.client import Client
from spacedock.events import JobStatus
from spacedock.mcp.content import clean
from spacedock.states import JobState

EXTENSION = "io.modelcontextprotocol/tasks"
POLL_MS = 1000

Answer = Callable[[Client, str], Awaitable[CallToolResult]]


class TaskParams(RequestParams):
    """Which task is meant."""

    task_id: str = Field(alias="taskId", max_length=200)


def declared(ctx: ServerRequestContext[Any, Any]) -> bool:
    """Whether the client can be given a task in place of an answer."""
    known = ctx.session.client_capabilities
    extensions = known.extensions if known else None
    return ctx.protocol_version in MODERN_PROTOCOL_VERSIONS and EXTENSION in (extensions or {})


class JobTasks:
    """The extension's methods; `answer` gives the answer of a job that has ended."""

    def __init__(self, client: Client, answer: Answer) -> None:
        self._client, self._answer = client, answer

    def add_to(self, server: Server[Any]) -> None:
        """Have the server tell that it has the extension, and serve its methods."""
        server.extensions[EXTENSION] = {}
        server.add_request_handler("tasks/get", TaskParams, self.get)
        server.add_request_handler("tasks/update", TaskParams, self.update)
        server.add_request_handler("tasks/cancel", TaskParams, self.cancel)

    async def get(self, ctx: ServerRequestContext[Any, Any], params: TaskParams) -> dict[str, Any]:
        """The task, and its answer once it has ended. Raises MCPError, JobNotFoundError."""
        _check_declared(ctx)
        found = await self._client.status(params.task_id)
        told = {"resultType": "complete", **_task(found)}
        if found.state.terminal and found.state is not JobState.CANCELLED:
            result = await self._answer(self._client, params.task_id)
            told["result"] = result.model_dump(by_alias=True, mode="json", exclude_none=True)
        return told

    async def update(self, ctx: ServerRequestContext[Any, Any], params: TaskParams) -> dict[str, Any]:
        """Nothing: no job asks its client for more. Raises MCPError."""
        _check_declared(ctx)
        return {"resultType": "complete"}

    async def cancel(self, ctx: ServerRequestContext[Any, Any], params: TaskParams) -> dict[str, Any]:
        """Cancel the task's job. Raises MCPError, JobNotFoundError."""
        _check_declared(ctx)
        await self._client.cancel(params.task_id)
        return {"resultType": "complete"}


async def created(client: Client, job_id: str) -> dict[str, Any]:
    """The answer to a call whose job goes on."""
    return {"resultType": "task", **_task(await client.status(job_id))}


def _check_declared(ctx: ServerRequestContext[Any, Any]) -> None:
    """Raise MCPError where the client did not say that it knows tasks."""
    if not declared(ctx):
        data: dict[str, Any] = {"requiredCapabilities": {"extensions": {EXTENSION: {}}}}
        message = f"declare {EXTENSION} in the request's capabilities, or ask the tool job_status"
        raise MCPError(MISSING_REQUIRED_CLIENT_CAPABILITY, message, data)


def _task(found: JobStatus) -> dict[str, Any]:
    """The job in the extension's words; that it failed is part of its answer."""
    ended = {JobState.CANCELLED: "cancelled"}.get(found.state, "completed")
    told: dict[str, Any] = {
        "taskId": found.id,
        "status": ended if found.state.terminal else "working",
        "createdAt": datetime.fromtimestamp(found.submitted, UTC).isoformat(),
        "lastUpdatedAt": datetime.now(UTC).isoformat(),
        "ttlMs": None,
        "pollIntervalMs": POLL_MS,
    }
    said = clean(found.message or found.waits_for, 300)
    return told | {"statusMessage": said} if said else told
