"""A local server that speaks Gradio's protocols by a script, well and badly, over real sockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

from aiohttp import WSMsgType, web
from tests.unit.gradio_script import CHUNK, FLOOD_CHUNKS, FULL, HEARTBEAT, Reply, Script, bare


@asynccontextmanager
async def serving(script: Script) -> AsyncIterator[str]:
    """Serve it; gives the base URL."""
    app = web.Application(client_max_size=2**24)
    app.router.add_route("*", "/{path:.*}", partial(_answer, script))
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.2)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def _answer(script: Script, request: web.Request) -> web.StreamResponse:
    script.seen.append(request.path)
    script.headers.append(dict(request.headers))
    path = bare(request.path)
    if path in script.holds:
        script.reached.set()
        await script.holds[path].wait()
    if path in script.routes:
        return script.routes[path].response()
    if path == "/login":
        return _login(script, await request.post())
    if script.password and "token=secret" not in request.headers.get("Cookie", ""):
        return web.json_response({"detail": "Not authenticated"}, status=401)
    if request.method == "POST" and path != "/upload":
        script.bodies.append((path, await request.json()))
    if path.startswith("/queue/"):
        return await _queue(script, request, path)
    if path.startswith("/run/"):
        return await _run(script)
    return _plain(script, path).response()


async def _run(script: Script) -> web.Response:
    script.running += 1
    script.most = max(script.most, script.running)
    # Whoever else would come in now has the chance to.
    for _ in range(5):
        await asyncio.sleep(0)
    script.running -= 1
    return (script.runs.pop(0) if script.runs else Reply(status=404)).response()


def _login(script: Script, form: Mapping[str, Any]) -> web.Response:
    if form.get("password") != script.password:
        return web.json_response({"detail": "Incorrect credentials."}, status=400)
    response = web.json_response({"success": True})
    response.set_cookie("token", "secret", httponly=True)
    response.set_cookie("unsecure-token", "other")
    return response


def _plain(script: Script, path: str) -> Reply:
    match path:
        case "/config":
            return Reply(script.config, headers={"Set-Cookie": "session=1; Path=/"})
        case "/info":
            return script.info
        case "/upload":
            script.uploaded.set()
            return script.upload
        case "/cancel":
            return Reply({"success": True})
        case _ if path.startswith("/file="):
            picture = Reply(b"PNG", headers={"Content-Type": "image/png"})
            return script.files.pop(0) if script.files else picture
    return Reply(status=404)


async def _queue(script: Script, request: web.Request, path: str) -> web.StreamResponse:
    if path == "/queue/join" and script.joins:
        return script.joins.pop(0).response()
    if request.headers.get("Upgrade", "").lower() == "websocket":
        return await _websocket(script, request)
    if path == "/queue/data" and request.method == "GET":
        return await _stream(script, request)
    if path == "/queue/data":
        script.data_sent.set()
        return web.json_response({})
    if request.method == "POST" and _is_full(script):
        told = {"detail": "Queue is full. Max size is 1 and size is 1."}
        return web.json_response(told, status=503)
    if request.method == "POST":
        return web.json_response({"event_id": "e"})
    return await _stream(script, request, joining=True)


def _is_full(script: Script) -> bool:
    script.full -= 1
    return script.full >= 0


def _event(event: object) -> bytes:
    return b"data: " + json.dumps(event).encode() + b"\n\n"


async def _stream(script: Script, request: web.Request, *, joining: bool = False) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    if joining and _is_full(script):
        await response.write(_event(FULL))
        return response
    if joining:
        script.data_sent.clear()
        await response.write(_event({"msg": "send_data", "event_id": "e"}))
        await script.data_sent.wait()
    try:
        for event in script.events:
            await response.write(_event(event))
        await response.write(script.raw)
        script.listening.set()
        if script.ending == "flood":
            await response.write(b'data: {"msg":"process_completed","output":{"data":["')
        await _end(script, request, lambda event: response.write(_event(event)), response.write)
    except (ConnectionError, asyncio.CancelledError):
        script.left.set()
        raise
    return response


async def _websocket(script: Script, request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    if _is_full(script):
        await socket.send_json(FULL)
        return socket
    for ask in ("send_hash", "send_data"):
        await socket.send_json({"msg": ask})
        script.bodies.append((f"/{ask}", await socket.receive_json()))
    try:
        for event in script.events:
            await socket.send_json(event)
        if script.raw:
            await socket.send_str(script.raw.decode())
        script.listening.set()
        if script.ending == "flood":
            # The head of one text message that is longer than anyone wants to hold.
            length = len(CHUNK) * FLOOD_CHUNKS
            _raw(request).write(bytes([0x81, 127]) + length.to_bytes(8, "big"))
        await _end(script, request, socket.send_json, lambda chunk: _written(request, chunk))
        if script.ending == "silence" and (await socket.receive()).type is WSMsgType.CLOSE:
            script.left.set()
    except (ConnectionError, asyncio.CancelledError):
        script.left.set()
        raise
    return socket


def _raw(request: web.Request) -> asyncio.WriteTransport:
    transport = request.transport
    assert isinstance(transport, asyncio.WriteTransport)
    return transport


async def _written(request: web.Request, chunk: bytes) -> None:
    _raw(request).write(chunk)
    while _raw(request).get_write_buffer_size() > len(CHUNK):
        await asyncio.sleep(0.001)
        if _raw(request).is_closing():
            raise ConnectionResetError


async def _end(script: Script, request: web.Request, send: Any, write: Any) -> None:
    """End the stream as the script says."""
    match script.ending:
        case "abort":
            _raw(request).abort()
        case "silence" if request.headers.get("Upgrade") is None:
            await asyncio.Event().wait()
        case "heartbeats":
            while True:
                await send(HEARTBEAT)
                await asyncio.sleep(0.005)
        case "growth":
            while True:
                await send({"msg": "process_generating", "output": {"data": ["more" * 50]}})
                await asyncio.sleep(0.001)
        case "flood":
            with suppress(ConnectionError):
                for _ in range(FLOOD_CHUNKS):
                    await write(CHUNK)
