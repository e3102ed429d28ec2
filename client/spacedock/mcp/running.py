"""A tool call as a durable job: its files, its submission, its progress; cancelled with the call."""

from __future__ import annotations

import asyncio
import mimetypes
import re
import uuid
from collections.abc import Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import anyio
from mcp.server.context import ServerRequestContext
from mcp_types import CallToolResult, CancelledNotificationParams, RequestId
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import ValidationError

from spacedock._wire import wire
from spacedock.client import Client
from spacedock.errors import BadRequestError, FileUnreadableError, SpacedockError
from spacedock.files import Payload, check_sizes, of_data_url, payload_of, read_payload
from spacedock.mcp import content, job_tasks
from spacedock.mcp.content import FILES, kind_of
from spacedock.mcp.tools import RunSpace
from spacedock.prepare import hub_id_of
from spacedock.request import JobRequest, job_id_of
from spacedock.result import JobResult

Context = ServerRequestContext[Any, Any]
ToolAnswer = CallToolResult | dict[str, Any]

LABEL = "mcp"
"""Jobs have this label: the name of who may call, so that they are found again."""

_CANCEL_SECONDS = 5.0
_MOST_CALLS = 10_000
_MESSAGE = 300


@dataclass(frozen=True, slots=True)
class Limits:
    """What a server allows: folders of this machine whose files may be sent, and how many seconds a call
    waits for its job (`grace` where the client can be given a task). `closing` is set when it is the server
    that goes away."""

    allowed: Sequence[Path] = ()
    wait: float = 50.0
    grace: float = 2.0
    closing: asyncio.Event = field(default_factory=asyncio.Event)


class CallRunner:
    """Runs calls as jobs. What ends a connection leaves its jobs; what cancels a call cancels its job."""

    def __init__(self, client: Client, limits: Limits) -> None:
        self._client, self._limits = client, limits
        self._calls: dict[tuple[str | None, RequestId | None], str] = {}

    async def run(self, ctx: Context, call: RunSpace) -> ToolAnswer:
        """The call's answer, or the task or the job that goes on. Raises SpacedockError."""
        request, payloads = await self._request(ctx, call)
        # Its id is known before it is there: a cancellation that comes meanwhile finds it.
        job_id, place = job_id_of(request), _place(ctx)
        self._calls[place] = job_id
        try:
            await self._client.submit_prepared(request, payloads)
            if not job_tasks.declared(ctx):
                found = await self.follow(ctx, job_id, self._limits.wait)
                said = (await self._client.status(job_id)).message if found is None else ""
                return found or content.going_on(job_id, said)
            found = await self.follow(ctx, job_id, self._limits.grace)
            return found or await job_tasks.created(self._client, job_id)
        except asyncio.CancelledError:
            modern = ctx.request is not None and ctx.protocol_version in MODERN_PROTOCOL_VERSIONS
            if modern and not self._limits.closing.is_set():
                # There a client cancels by hanging up.
                await self._cancel(place)
            raise
        finally:
            self._forget(place)

    async def follow(self, ctx: Context, job_id: str, seconds: float | None = None) -> CallToolResult | None:
        """The job's answer, None where it has not ended by then; its events become progress notifications.

        Raises JobNotFoundError.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(self._limits.wait if seconds is None else seconds):
                if "progress_token" in (ctx.meta or {}):
                    await self._tell(ctx, job_id)
                return await answer_of(self._client, job_id)
        return None

    async def _tell(self, ctx: Context, job_id: str) -> None:
        """Tell the job's events to whoever asked for them, until it ends."""
        count, last = 0, ""
        async with aclosing(self._client.watch(job_id)) as events:
            async for event in events:
                said = ": ".join(part for part in (event.name, event.message) if part)
                if said not in ("", last):
                    count, last = count + 1, said
                    await ctx.session.report_progress(count, message=content.clean(said, _MESSAGE))

    async def hear_cancelled(self, ctx: Context, params: CancelledNotificationParams) -> None:
        """Cancel the job of a call that its client has cancelled."""
        await self._cancel((_place(ctx)[0], params.request_id))

    async def _cancel(self, place: tuple[str | None, RequestId | None]) -> None:
        job_id = self._calls.pop(place, None)
        if job_id is not None:
            with anyio.move_on_after(_CANCEL_SECONDS, shield=True), suppress(SpacedockError):
                await self._client.cancel(job_id)

    def _forget(self, place: tuple[str | None, RequestId | None]) -> None:
        task = asyncio.current_task()
        if task is None or not task.cancelling():
            self._calls.pop(place, None)
        while len(self._calls) > _MOST_CALLS:
            # A cancelled call waits for the notification that cancelled it, which may never come.
            self._calls.pop(next(iter(self._calls)))

    async def _request(self, ctx: Context, call: RunSpace) -> tuple[JobRequest, list[Payload]]:
        payloads: dict[str, Payload] = {}
        for uri in call.files:
            payloads.setdefault(uri, await payload_at(uri, self._client, self._limits.allowed))
        files = [_renamed(payload, place) for place, payload in enumerate(payloads.values())]
        check_sizes(files)
        names = {uri: payload.ref.name for uri, payload in zip(payloads, files, strict=True)}
        fields = call.model_dump(exclude={"files", "inputs", "space"})
        try:
            request = JobRequest(
                **fields,
                space=hub_id_of(call.space) if call.space else None,
                files=tuple(payload.ref for payload in files),
                inputs={
                    name: names.get(value, value) if isinstance(value, str) else value
                    for name, value in call.inputs.items()
                },
                idempotency_key=uuid.uuid4().hex,
                labels={LABEL: owner_of(ctx)},
            )
        except ValidationError as error:
            raise BadRequestError(wire.describe(error)) from error
        return request, files


async def answer_of(client: Client, job_id: str) -> CallToolResult:
    """The answer of a job that has ended, its pictures in it. Raises JobNotFoundError."""
    result = await client.result(job_id)
    return content.answered(result, await _shown(client, result))


async def _shown(client: Client, result: JobResult) -> dict[str, bytes]:
    shown: dict[str, bytes] = {}
    left = content.MAX_SHOWN
    for ref in result.output.files:
        if ref.media_type.startswith("image/") and ref.size <= left:
            # One that is gone already has its link still.
            with suppress(SpacedockError):
                data = await client.fetch(ref)
                if content.kind_of(data).startswith("image/"):
                    shown[ref.sha256], left = data, left - ref.size
    return shown


def owner_of(ctx: Context) -> str:
    """Whose call it is: the token's name, or who runs the server on stdio."""
    user = ctx.request.scope.get("user") if ctx.request is not None else None
    return str(user.username)[:200] if user is not None else "stdio"


def _place(ctx: Context) -> tuple[str | None, RequestId | None]:
    """What tells this request from all others: requests of a session are numbered by its client."""
    session = ctx.request.headers.get("mcp-session-id") if ctx.request is not None else None
    return session or (None if ctx.request is None else uuid.uuid4().hex), ctx.request_id


def _renamed(payload: Payload, place: int) -> Payload:
    """The payload under a name that no other of the job has."""
    name = f"{place + 1}-{payload.ref.name}"[-255:]
    return Payload(payload.ref.model_copy(update={"name": name}), payload.data)


_DIGEST = re.compile(r"[0-9a-f]{64}")
_SHOWN = 80


def digest_of(uri: str) -> str:
    """The digest in a resource's URI. Raises BadRequestError."""
    digest = uri.removeprefix(FILES)
    if digest == uri or not _DIGEST.fullmatch(digest):
        raise BadRequestError(f"'{uri[:_SHOWN]}' is no file of an answer: those are {FILES}SHA256")
    return digest


async def payload_at(uri: str, client: Client, allowed: Sequence[Path]) -> Payload:
    """The file of that URI; paths only below the folders `allowed`. Raises BadRequestError, WireError."""
    if uri.startswith(FILES):
        data = await client.fetch(digest_of(uri))
        return _named(data, kind_of(data))
    if uri[:5].lower() == "data:":
        return _named(*of_data_url(uri))
    if uri.startswith(("/", "file://")):
        return await asyncio.to_thread(_of_this_machine, uri, allowed)
    raise BadRequestError(
        f"'{uri[:_SHOWN]}' is no file: give {FILES}SHA256 of an answer, or data:image/png;base64,…"
    )


def _named(data: bytes, kind: str) -> Payload:
    return payload_of(f"file{mimetypes.guess_extension(kind) or ''}", data, kind)


def _of_this_machine(uri: str, allowed: Sequence[Path]) -> Payload:
    path = Path(unquote(urlsplit(uri).path) if uri.startswith("file://") else uri)
    try:
        # Where links and .. lead is what counts; what is elsewhere is not told, not even whether it is there.
        path = path.resolve()
    except (OSError, ValueError, RuntimeError) as error:
        raise FileUnreadableError(repr(str(path)[:_SHOWN]), "is no path") from error
    if not any(path.is_relative_to(folder.resolve()) for folder in allowed):
        raise BadRequestError(
            f"{path}: files are not read from there. Start `spacedock mcp --allow-dir DIR` with its "
            "folder, or give the file as a data: URI"
        )
    return read_payload(path)
