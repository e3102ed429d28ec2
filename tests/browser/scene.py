"""A queue for the page to show: a real door and a real worker, whose handler stands in for containers.

Its answers are chosen for the eye: pictures, sounds, tables, failures, and what a hostile Space sends.
"""

from __future__ import annotations

import asyncio
import io
import struct
import wave
import zlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from tests.door import Door, opened
from tests.integration.queue.workers import succeeded, working
from tests.unit.test_cli_tiers import FOUND

from spacedock._wire import keys, wire
from spacedock._wire.connection import connect
from spacedock._wire.rpc import Call, OnProgress, Op, Reply
from spacedock.client import Client
from spacedock.events import Event
from spacedock.files import payload_of
from spacedock.hosts import Host
from spacedock.request import JobRequest, Tier
from spacedock.result import (
    AnsweredBy,
    AnswerKind,
    Attempt,
    AttemptError,
    ErrorKind,
    JobResult,
    Output,
    Stage,
    Timings,
)
from spacedock.states import JobState
from spacedock_worker.queue.choose import HostOffer
from spacedock_worker.queue.presence import Presence
from spacedock_worker.queue.progress import Emit
from spacedock_worker.queue.runner import TakenJob

MB = 2**20
SCRIPT = "<script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" onload="document.title=\'taken\'"><rect/></svg>'
TURNED = "invoice\u202egnp.exe"


def picture(width: int = 192, height: int = 128) -> bytes:
    """A PNG of a sunset."""

    def colour(x: int, y: int) -> tuple[int, int, int]:
        if (x - width // 3) ** 2 + (y - height // 2) ** 2 < (height // 5) ** 2 and y < height * 2 // 3:
            return 255, 226, 160
        band = y * 8 // height
        return (
            (240 - 9 * band, 110 + 16 * band, 90 + 6 * band) if y < height * 2 // 3 else (38, 84 - band, 110)
        )

    rows = b"".join(b"\0" + bytes(v for x in range(width) for v in colour(x, y)) for y in range(height))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def sound() -> bytes:
    """Half a second of silence as WAV."""
    made = io.BytesIO()
    with wave.open(made, "wb") as file:
        file.setparams((1, 2, 8000, 4000, "NONE", ""))
        file.writeframes(bytes(8000))
    return made.getvalue()


FILES = [
    payload_of("sunset.png", picture()),
    payload_of("speech.wav", sound()),
    payload_of("drawing.svg", SVG),
    payload_of(TURNED, b"MZ"),
    payload_of("broken.png", b"\x89PNG\r\n\x1a\nno picture at all"),
]
ROWS = {"headers": ["word", "count"], "data": [["sea", 12], ["harbour", 7], ["<b>crane</b>", 5]]}
ANSWERS: Mapping[str, Output] = {
    "sentiment": Output(text="positive (0.98)\nneutral (0.02)"),
    "picture": Output(text="a sunset over the harbour", files=(FILES[0].ref,)),
    "speech": Output(text="", files=(FILES[1].ref,)),
    "word-count": Output(text="sea: 12, harbour: 7, crane: 5", data=[ROWS]),
    "hostile": Output(text=f"{SCRIPT}\u202e{TURNED}", files=tuple(one.ref for one in FILES[2:])),
    "huge": Output(text="word " * 40_000),
}
SECONDS = {"sentiment": 0.4, "picture": 21.0, "speech": 3.2, "word-count": 0.8, "transcribe": 42.0}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["prompt"],
    "properties": {
        "prompt": {"type": "string", "title": "What to paint"},
        "style": {"enum": ["photo", "water colour", "ink"], "default": "photo"},
        "steps": {"type": "number", "minimum": 1, "maximum": 50, "default": 20},
        "tiled": {"type": "boolean", "default": False},
        "like": {
            "type": "string",
            "format": "uri",
            "contentMediaType": "image/*",
            "title": "A picture like it",
        },
    },
}


def _kind(name: str) -> tuple[str, str, str]:
    kinds = {
        "upscale": ("image", "image", "Makes pictures larger without blur"),
        "picture": ("text", "image", "Paints what it is told"),
        "speech": ("text", "audio", "Reads a text aloud"),
        "transcribe": ("audio", "text", "Writes down what is said"),
        "word-count": ("file", "text", "Counts the words of a file"),
        "sentiment": ("text", "text", "Says whether a text is friendly"),
    }
    return kinds.get(name, ("text", "text", "Answers"))


def _profile(name: str, seconds: float) -> dict[str, Any]:
    calls = [{"at": 0.0, "ok": True, "seconds": seconds * (0.6 + ((7 * n) % 11) / 11)} for n in range(24)]
    image = {
        "space": name,
        "digest": "sha256:" + "0" * 64,
        "runs": 240,
        "succeeded": 231,
        "start_p50": 4.2,
        "start_max": 9.0,
        "call_p50": seconds,
        "call_p95": seconds * 1.8,
        "peak_memory": 640 * MB,
        "last": 0.0,
        "starts": 4,
        "errors": {},
        "success_rate": 0.96,
        "memory_limit": 2048 * MB,
        "calls": calls,
    }
    return {"space": name, "images": [image], "advice": []}


@dataclass
class Scene:
    """The door, a client of its queue, and the hands on what its worker does.

    `begun` has the ids of jobs that are in work; those of "transcribe" and "picture" go on until `go`.
    `mended` lets the broken Space answer.
    """

    door: Door
    client: Client
    begun: asyncio.Queue[str] = field(default_factory=asyncio.Queue)
    go: asyncio.Event = field(default_factory=asyncio.Event)
    mended: bool = False
    spaces: tuple[str, ...] = ("picture", "sentiment", "speech", "transcribe", "word-count", "upscale")

    async def handle(self, job: TakenJob, tell: Emit) -> JobResult:
        """Answer as the Space that the job names."""
        space = job.request.space or "smollm"
        tell(Stage.PLAN, "", f"{space}, then the system default", None)
        tell(Stage.START, space, "the container starts", None)
        self.begun.put_nowait(job.id)
        if job.request.inputs.get("hold") or job.request.prompt.startswith("hold"):
            tell(Stage.CALL, space, "step 12 of 20", None)
            await self.go.wait()
        if space == "broken" and not self.mended:
            return self._failed(job)
        by = AnsweredBy(tier=Tier.HEAVY, kind=AnswerKind.SPACE, name=space, endpoint="/predict")
        seconds = SECONDS.get(space, 0.3)
        attempt = Attempt(tier=Tier.HEAVY, name=space, stage=Stage.OUTPUT, seconds=seconds)
        attempts: tuple[Attempt, ...] = (attempt,)
        if degraded := space == "transcribe":
            error = AttemptError(kind=ErrorKind.START_TIMEOUT, message="it was not ready within 300 s")
            attempts = (attempt.model_copy(update={"error": error, "stage": Stage.START}),)
            by = AnsweredBy(tier=Tier.DEFAULT, kind=AnswerKind.MODEL, name="smollm")
            attempts += (Attempt(tier=Tier.DEFAULT, name="smollm", stage=Stage.OUTPUT, seconds=1.1),)
        output = ANSWERS.get(space, Output(text=job.request.prompt or "done"))
        told = {"answered_by": by, "attempts": attempts, "output": output, "degraded": degraded}
        timings = Timings(queued=0.1, call=seconds, total=seconds + 0.1)
        return succeeded(job).model_copy(update={**told, "timings": timings})

    def _failed(self, job: TakenJob) -> JobResult:
        error = AttemptError(
            kind=ErrorKind.OUT_OF_MEMORY,
            message="the container used all of its 2 GB: `--memory 4g` gives it more",
        )
        attempt = Attempt(tier=Tier.HEAVY, name="broken", stage=Stage.CALL, error=error, seconds=8.2)
        timings = Timings(call=8.2, total=8.3)
        return JobResult(id=job.id, state=JobState.FAILED, attempts=(attempt,), timings=timings)

    async def controls(self, call: Call, redis: Redis, tell: OnProgress) -> Reply:
        """What a worker answers that has these Spaces."""
        names = [call.name] if call.name else self.spaces
        entries = {name: self._entry(name) for name in names}
        here = {
            "state": "running",
            "quarantined_for": None,
            "reason": None,
            "image_bytes": 10**9,
            "cache_bytes": 0,
        }
        containers = {"sentiment": {"running": 1}, "picture": {"running": 1}, "speech": {"paused": 1}}
        data: dict[Op, dict[str, Any]] = {
            Op.LIST: {"status": {name: {**here, "containers": containers.get(name, {})} for name in names}},
            Op.SHOW: {"endpoints": [{"name": "/paint", "schema": SCHEMA, "outputs": ["Image"]}]},
            Op.PROFILE: {
                "spaces": {name: _profile(name, SECONDS[name]) for name in names if name in SECONDS}
            },
            Op.TIERS: {**FOUND, "spaces": {**FOUND["spaces"], "quarantined": {}}},
            Op.PULL: {
                "name": call.name,
                "image": "hf/speech",
                "digest": "sha256:0",
                "seconds": 4.0,
            },
            Op.VALIDATE: {
                "name": call.name,
                "works": True,
                "reason": "it answered",
                "at": None,
                "digest": None,
                "deep": False,
                "checks": [{"name": "image", "status": "ok", "reason": "it is here", "advice": ""}],
                "endpoint": None,
                "endpoints": [],
                "seconds": {},
                "stored": True,
            },
        }
        return Reply(spaces=entries, data=data.get(call.op, {}))

    def _entry(self, name: str) -> dict[str, Any]:
        takes, gives, said = _kind(name)
        return {
            "id": name,
            "description": said,
            "input_type": takes,
            "output_type": gives,
            "status": "active",
        }

    # As a host with three containers tells of itself.
    def offer(self) -> HostOffer | None:
        """It takes whatever comes."""
        return None

    def presence(self, jobs: int) -> Presence:
        """What it tells the others."""
        host = Host(
            id="f00d",
            name="harbour",
            version="0.1.0",
            engine="20.10",
            containers=3,
            warm={"sentiment": 1},
            jobs=jobs,
        )
        return Presence(host, frozenset(self.spaces))


@asynccontextmanager
async def scene(redis_url: str, folder: Path, max_jobs: int = 4) -> AsyncIterator[Scene]:
    """The door, its queue and its worker, until the block ends."""
    async with opened(redis_url, folder) as door, Client(redis_url, name="ada@laptop") as client:
        await client.store(FILES)
        made = Scene(door, client)
        async with working(redis_url, made.handle, made.controls, max_jobs, made):
            yield made


async def past_hour(url: str) -> None:
    """Events of jobs that ended within the last hour, which are kept no longer."""
    async with connect(url) as redis:
        now, number = int((await redis.time())[0]), 0
        for minute in range(55, 2, -1):
            for nth in range(6 + (minute * 7) % 9):
                job_id, begun = f"{minute:02}{nth:02}".ljust(32, "0"), now - 60 * minute + 3 * nth
                ended = Event(job_id=job_id, name="sentiment", state=JobState.SUCCEEDED, message="succeeded")
                took = 0.3 + (minute % 6) * 0.5 + nth * 0.4
                for event, at in ((Event(job_id=job_id, stage=Stage.PLAN), begun), (ended, begun + took)):
                    number += 1
                    await redis.xadd(keys.EVENTS, {"event": wire.encode(event), "at": at}, f"0-{number}")


async def make_busy(made: Scene) -> None:
    """Jobs that ended well and badly, some that run, and a batch that waits behind them."""
    client = made.client
    await past_hour(client.url)
    ids = [
        await client.submit("Is the harbour quiet?", space="sentiment"),
        await client.submit("", space="word-count", endpoint="/count"),
        await client.submit("Read it", space="speech"),
        await client.submit("A sunset over the harbour", space="picture"),
        await client.submit("Write it down", space="transcribe"),
        *[await client.submit(f"page {n}", space="broken") for n in range(3)],
    ]
    async for _ in client.results(ids):
        pass
    reviews = [JobRequest(prompt=f"review {n}", space="sentiment") for n in range(20)]
    broken = [JobRequest(prompt=f"report {n}", space="broken") for n in range(4)]
    batch = await client.submit_many([*reviews, *broken], label="reviews-of-november.csv")
    async for _ in client.results(batch):
        pass
    held = [JobRequest(prompt=f"hold {n}", space="picture") for n in range(12)]
    await client.submit_many(held, label="posters.jsonl")
    await client.submit("hold on", space="speech")
    await client.submit("And the sea?", space="sentiment")
    while made.begun.qsize():
        made.begun.get_nowait()
