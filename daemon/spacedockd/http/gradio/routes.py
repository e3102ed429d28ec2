"""`/spaces/NAME/…` as gradio_client asks for it: description, files, calls, and what becomes of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from typing import Any

from aiohttp import web

from spacedock._wire.view.tokens import Scope
from spacedock.errors import JobNotFoundError, QueueFullError
from spacedockd.http.access import principal_of, route, whose
from spacedockd.http.context import DoorContext
from spacedockd.http.errors import HttpError, told
from spacedockd.http.events import EventStream
from spacedockd.http.gradio.calls import OPTIONS, Progress, path_of, ref_of, request_of
from spacedockd.http.gradio.description import PREFIX, AppDescription, AppEndpoint
from spacedockd.http.gradio.sessions import GradioSession, GradioSessions, SubmittedCall
from spacedockd.http.gradio.spaces import DescribedSpaces
from spacedockd.http.guards import base_of
from spacedockd.http.sending import send_file

_SPACE = "/spaces/{space:[^/]+(?:/[^/]+)?}"
_ALIVE_SECONDS = 2.0
"""gradio_client gives up a description of which nothing comes for five seconds."""

_CLOSING_SECONDS = 2.0
_NOTHING = AppDescription(space="", endpoints=())


def routes(context: DoorContext) -> list[web.RouteDef]:
    """The routes; all take whoever may submit, as even a description may start a Space."""
    door = GradioDoor(context)
    api = f"{_SPACE}/{PREFIX}"
    found = (
        ("GET", f"{_SPACE}/config", door.config),
        ("GET", f"{api}/info", door.info),
        ("POST", f"{api}/upload", door.upload),
        ("GET", api + "/file={path:.+}", door.file),
        ("POST", f"{api}/queue/join", door.join),
        ("GET", f"{api}/queue/data", door.listen),
        ("POST", f"{api}/cancel", door.cancel),
        ("POST", f"{api}/reset", door.cancel),
        ("POST", api + "/call/{endpoint:.+}", door.call),
        ("GET", api + "/call/{endpoint:.+}/{job}", door.follow),
    )
    return [route(method, path, handler, Scope.SUBMIT) for method, path, handler in found]


class GradioDoor:
    """Speaks Gradio's protocol sse_v3 for every Space; each call is a job in the queue."""

    def __init__(self, context: DoorContext) -> None:
        self._context, self._client = context, context.client
        self._sessions = GradioSessions()
        self._spaces = DescribedSpaces(context.client, context.state_dir / "gradio")

    async def config(self, request: web.Request) -> web.StreamResponse:
        """The page. Spaces keep the client waiting until it is known; why it is not, `info` says."""
        asking = self._spaces.asking(request.match_info["space"])
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        while not (await asyncio.wait({asking}, timeout=_ALIVE_SECONDS))[0]:
            await response.write(b" ")
        found = _NOTHING if asking.cancelled() or asking.exception() else asking.result()
        await response.write_eof(json.dumps(found.config).encode())
        return response

    async def info(self, request: web.Request) -> web.Response:
        """The endpoints with their types."""
        return web.json_response((await self._spaces.fresh(request.match_info["space"])).info)

    async def upload(self, request: web.Request) -> web.Response:
        """Store files for calls to come, and say by which paths they are named there."""
        async with self._context.intake.form(request) as form:
            refs = [await self._context.store(file) for file in form.files if file.field == "files"]
        return web.json_response([path_of(ref) for ref in refs])

    async def file(self, request: web.Request) -> web.StreamResponse:
        """A file of an answer."""
        ref = ref_of(request.match_info["path"])
        return await send_file(self._context, request, ref, ref.name)

    async def join(self, request: web.Request) -> web.Response:
        """Submit a call of a session, whose stream will tell of it."""
        body = await self._body(request)
        session = self._session(request, body.get("session_hash"))
        try:
            known = await self._spaces.known(request.match_info["space"])
            endpoint = known.numbered(body.get("fn_index"))
            job_id = await session.join(endpoint, lambda: self._submit(request, endpoint, body))
        except QueueFullError as error:
            raise HttpError(503, "queue_full", str(error)) from error
        except Exception as error:
            if (refused := told(error)) is None or refused.status not in (400, 404, 413):
                raise
            return _refusal(str(refused))
        return web.json_response({"event_id": job_id})

    async def listen(self, request: web.Request) -> web.StreamResponse:
        """Tell a session of its calls until the last has ended. A client that hangs up cancels them."""
        session = self._session(request, request.query.get("session_hash"))
        stream = await EventStream.begun(request)
        try:
            async with session.listening() as calls:
                await self._tell_all(request, stream, session, calls)
                await stream.send({"msg": "close_stream", "event_id": None})
                # The client ends the connection when it has read that, and may join again then.
                await asyncio.sleep(_CLOSING_SECONDS)
        except BaseException:
            await asyncio.shield(self._give_up(session))
            raise
        return stream.response

    async def call(self, request: web.Request) -> web.Response:
        """Submit a call by the endpoint's name, as `curl` does."""
        body = await self._body(request)
        endpoint = await self._named(request)
        return web.json_response({"event_id": await self._submit(request, endpoint, body)})

    async def follow(self, request: web.Request) -> web.StreamResponse:
        """Tell of such a call: `generating`, and at its end `complete` or `error`."""
        endpoint = await self._named(request)
        job_id = request.match_info["job"]
        await self._client.status(job_id)
        stream = await EventStream.begun(request)
        shown: list[Any] = []
        async with stream.beating(self._context.closing):
            async for message in self._messages(request, SubmittedCall(job_id, endpoint)):
                output = message.get("output", {})
                if message["msg"] == "process_generating":
                    shown = [edit[0][2] for edit in output["data"]] if shown else output["data"]
                    await stream.send(shown, "generating")
                elif message["msg"] == "process_completed":
                    name = "complete" if message["success"] else "error"
                    await stream.send(output["data"] if message["success"] else output, name)
        await stream.response.write_eof()
        return stream.response

    async def cancel(self, request: web.Request) -> web.Response:
        """Cancel a call."""
        body = await self._body(request)
        await self._cancelled(str(body.get("event_id")))
        return web.json_response({"success": True})

    async def _named(self, request: web.Request) -> AppEndpoint:
        known = await self._spaces.known(request.match_info["space"])
        return known.named(request.match_info["endpoint"])

    async def _submit(self, request: web.Request, endpoint: AppEndpoint, body: dict[str, Any]) -> str:
        data = body.get("data")
        if not isinstance(data, list):
            raise HttpError(400, "bad_request", "`data` is not a list: give the endpoint's inputs in order")
        told = ((name, request.headers.get(f"x-spacedock-{name}")) for name in OPTIONS)
        options = {name: value for name, value in told if value is not None}
        return await self._client.submit_prepared(
            request_of(request.match_info["space"], endpoint, data, options), name=whose(request)
        )

    async def _tell_all(
        self,
        request: web.Request,
        stream: EventStream,
        session: GradioSession,
        calls: AsyncIterator[SubmittedCall],
    ) -> None:
        async with stream.beating(self._context.closing), asyncio.TaskGroup() as tasks:
            async for call in calls:
                tasks.create_task(self._tell(request, stream, session, call))

    async def _tell(
        self, request: web.Request, stream: EventStream, session: GradioSession, call: SubmittedCall
    ) -> None:
        async for message in self._messages(request, call):
            await stream.send(message)
        session.over(call.job_id)

    async def _messages(self, request: web.Request, call: SubmittedCall) -> AsyncIterator[dict[str, Any]]:
        base = f"{base_of(request, self._context.settings)}/spaces/{request.match_info['space']}"
        progress = Progress(call.job_id, call.endpoint, base)
        yield progress.joined()
        async with aclosing(self._client.watch(call.job_id)) as events:
            async for event in events:
                for message in progress.heard(event):
                    yield message
                if event.state is not None:
                    break
        for message in progress.ended(await self._client.result(call.job_id)):
            yield message

    async def _give_up(self, session: GradioSession) -> None:
        for job_id in session.calls.copy():
            await self._cancelled(job_id)
            session.over(job_id)

    async def _cancelled(self, job_id: str) -> None:
        with suppress(JobNotFoundError):
            await self._client.cancel(job_id)

    async def _body(self, request: web.Request) -> dict[str, Any]:
        body = await self._context.intake.json(request)
        if not isinstance(body, dict):
            raise HttpError(400, "not_json", "the body is not a JSON object")
        return body

    def _session(self, request: web.Request, name: Any) -> GradioSession:
        if not isinstance(name, str) or not 0 < len(name) <= 200:
            raise HttpError(400, "bad_request", "`session_hash` is missing")
        return self._sessions.of(principal_of(request).id, name)


def _refusal(why: str) -> web.Response:
    """A refusal as the validation of a Gradio app gives it: gradio_client shows the words of no other."""
    detail = {"__type__": "validate", "is_valid": False, "parameter_name": "data", "message": why}
    return web.json_response({"detail": [detail]}, status=422)
