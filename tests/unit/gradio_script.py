"""What the scripted Gradio server says: its description, its messages, its answers, and how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from aiohttp import web

DONE: dict[str, Any] = {"msg": "process_completed", "success": True, "output": {"data": ["well"]}}
STARTS = {"msg": "process_starts"}
HEARTBEAT = {"msg": "heartbeat"}
FULL = {"msg": "queue_full"}

# The versions that speak each protocol of the queue, with the prefix of their routes.
VERSIONS = {
    "ws": ("3.50.2", ""),
    "sse": ("4.8.0", ""),
    "sse_v1": ("4.16.0", ""),
    "sse_v2": ("4.20.0", ""),
    "sse_v2.1": ("4.28.0", ""),
    "sse_v3": ("6.31.0", "/gradio_api"),
}
PROTOCOLS = tuple(VERSIONS)

Ending = Literal["end", "abort", "silence", "heartbeats", "growth", "flood"]
CHUNK = b"x" * 2**20
FLOOD_CHUNKS = 100


def config(protocol: str = "sse_v3", **more: Any) -> dict[str, Any]:
    """An app with a function for a text and one for a picture, on the version that speaks `protocol`."""
    version, prefix = VERSIONS[protocol]
    box, picture = {"id": 1, "type": "textbox"}, {"id": 2, "type": "image"}
    say = {"id": 0, "api_name": "say", "inputs": [1], "outputs": [1]}
    see = {"id": 1, "api_name": "see", "inputs": [2], "outputs": [2]}
    told = {"version": version, "components": [box, picture], "dependencies": [say, see]}
    return told | ({} if protocol == "ws" else {"protocol": protocol, "api_prefix": prefix}) | more


def done(*data: Any) -> dict[str, Any]:
    """The message that ends a call with these outputs."""
    return DONE | {"output": {"data": list(data)}}


def failed(error: object) -> dict[str, Any]:
    """The message that ends a call without an answer."""
    return DONE | {"success": False, "output": {"error": error}}


@dataclass(frozen=True)
class Reply:
    """An answer to one request: bytes as they are, anything else as JSON."""

    body: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    def response(self) -> web.Response:
        if isinstance(self.body, bytes):
            return web.Response(body=self.body, status=self.status, headers=self.headers)
        return web.json_response(self.body, status=self.status, headers=self.headers)


@dataclass
class Script:
    """What the server answers: `events` and then `raw`, as it is, to each call in the queue, and `ending`.

    The first `full` calls find the queue full. `joins`, `runs` and `files` are used up one by one; without
    them a call may join, has no way past the queue, and a file is a picture. `routes` take the place of all
    that; a path in `holds` sets `reached` and waits for its event first. `listening` is set where a call has
    been told everything, `left` where it was given up; `most` is how many calls were past the queue at once.
    """

    config: Any = field(default_factory=config)
    info: Reply = field(default_factory=lambda: Reply(status=500))
    events: list[Any] = field(default_factory=list)
    raw: bytes = b""
    ending: Ending = "end"
    full: int = 0
    joins: list[Reply] = field(default_factory=list)
    runs: list[Reply] = field(default_factory=list)
    files: list[Reply] = field(default_factory=list)
    upload: Reply = field(default_factory=lambda: Reply(["/tmp/gradio/a/a.png"]))
    routes: dict[str, Reply] = field(default_factory=dict)
    holds: dict[str, asyncio.Event] = field(default_factory=dict)
    password: str | None = None
    seen: list[str] = field(default_factory=list)
    bodies: list[tuple[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    listening: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    uploaded: asyncio.Event = field(default_factory=asyncio.Event)
    data_sent: asyncio.Event = field(default_factory=asyncio.Event)
    running: int = 0
    most: int = 0

    def says(self, *events: object) -> Script:
        self.events = list(events)
        return self

    def posted(self, path: str) -> list[Any]:
        """The bodies that were sent to a path, without the prefix."""
        return [body for to, body in self.bodies if to == path]

    def count(self, path: str) -> int:
        """How often a path was asked for, without the prefix."""
        return sum(bare(seen) == path for seen in self.seen)


def bare(path: str) -> str:
    return path.removeprefix("/gradio_api")


def speaking(protocol: str, *events: object, **more: Any) -> Script:
    """The script of an app that speaks `protocol`."""
    return Script(config=config(protocol), **more).says(*events)
