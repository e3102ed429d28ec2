"""Trying a Space: get its image, start it, see what it can do, and make one call."""

from __future__ import annotations

import asyncio
import io
import math
import struct
import wave
import zlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from spacedock._wire.rpc import OnProgress
from spacedock.files import Payload, payload_of
from spacedock.replies.spaces import EndpointRow
from spacedock.request import Fallback, JobRequest, Tier
from spacedock.result import ErrorKind, Stage
from spacedock_worker.adapters.base import AppAnswer
from spacedock_worker.errors import HostBusyError, StepError
from spacedock_worker.images.hub import HubAwayError
from spacedock_worker.jobs.chain import StepAnswer, StepContext
from spacedock_worker.jobs.plan import UNKNOWN, kind_of
from spacedock_worker.jobs.space_step import SpaceRunner
from spacedock_worker.queue.runner import TakenJob
from spacedock_worker.registry.entry import SpaceEntry
from spacedock_worker.validation.verdict import Check, Mark

SENTENCE = "The weather is lovely today, and I am very happy with it."
QUESTION = "What does the picture say?"

_LETTERS = {
    "H": ("#...#", "#...#", "#...#", "#####", "#...#", "#...#", "#...#"),
    "E": ("#####", "#....", "#....", "####.", "#....", "#....", "#####"),
    "L": ("#....", "#....", "#....", "#....", "#....", "#....", "#####"),
    "O": (".###.", "#...#", "#...#", "#...#", "#...#", "#...#", ".###."),
}
_SCALE, _MARGIN = 8, 3
_RATE, _TONE = 16_000, 440.0


@dataclass(frozen=True, slots=True)
class Sample:
    """One thing to send: a prompt, files, or both."""

    prompt: str = ""
    files: tuple[Payload, ...] = ()
    inputs: Mapping[str, Any] = field(default_factory=dict)


def samples_of(entry: SpaceEntry, known: bool) -> Iterator[Sample]:
    """What to try the Space with: its own trial call, with a file of ours if it takes one; else samples."""
    found, trial = samples(entry.takes, known), entry.trial
    if trial is None:
        return found
    first = next(found, Sample(SENTENCE))
    prompt = trial.prompt or ("" if trial.inputs else first.prompt)
    return iter([Sample(prompt, first.files, trial.inputs)])


def samples(takes: Collection[str], known: bool) -> Iterator[Sample]:
    """What fits a Space that takes those kinds, the best first; where they are not `known`, also others."""
    text = "text" in takes
    if "image" in takes:
        yield Sample(QUESTION if text else "", (picture(),))
    if "audio" in takes:
        yield Sample(SENTENCE if text else "", (sound(),))
    if "file" in takes:
        yield Sample(SENTENCE if text else "", (letter(),))
    if text or not known:
        yield Sample(SENTENCE)
    if not known:
        yield Sample("", (picture(),))
        yield Sample("", (sound(),))


def picture() -> Payload:
    """A small PNG: HELLO in black on white."""
    rows = [".".join(_LETTERS[letter][row] for letter in "HELLO") for row in range(7)]
    width = len(rows[0]) + 2 * _MARGIN
    blank = ["." * width] * _MARGIN
    padded = [*blank, *(f"{'.' * _MARGIN}{row}{'.' * _MARGIN}" for row in rows), *blank]
    lines = [bytes(0 if dot == "#" else 255 for dot in row for _ in range(_SCALE)) for row in padded]
    raw = b"".join(b"\0" + line for line in lines for _ in range(_SCALE))
    head = struct.pack(">IIBBBBB", width * _SCALE, len(padded) * _SCALE, 8, 0, 0, 0, 0)
    chunks = (_chunk(b"IHDR", head), _chunk(b"IDAT", zlib.compress(raw)), _chunk(b"IEND", b""))
    return payload_of("hello.png", b"\x89PNG\r\n\x1a\n" + b"".join(chunks))


def sound() -> Payload:
    """A WAV of one second: a tone."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(_RATE)
        tone = (int(12_000 * math.sin(2 * math.pi * _TONE * n / _RATE)) for n in range(_RATE))
        file.writeframes(b"".join(struct.pack("<h", value) for value in tone))
    return payload_of("tone.wav", buffer.getvalue())


def letter() -> Payload:
    """A text file."""
    return payload_of("letter.txt", f"{SENTENCE}\n".encode())


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


LONGEST_SECONDS = 7200.0
"""How long a trial may take in all: getting an image, waiting for room, starting, calling."""

_CHECK_OF = {Stage.PULL: "pull", Stage.BUILD: "build", Stage.START: "start", Stage.READY: "start"}
_BLAMELESS = frozenset({ErrorKind.DOCKER_UNAVAILABLE, ErrorKind.CANCELLED})


@dataclass(slots=True)
class Trial:
    """What a trial came to: its checks, the image's digest, the endpoint that was called, all endpoints, and
    seconds by kind ("prepare", "start", "call")."""

    checks: list[Check] = field(default_factory=list)
    digest: str | None = None
    endpoint: str | None = None
    endpoints: list[EndpointRow] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)


class Trials:
    """Makes trials as a job would run, on the pool: the container stays warm, or goes, as after any job."""

    def __init__(self, spaces: SpaceRunner) -> None:
        self._spaces = spaces

    async def of(self, entry: SpaceEntry, limit: float, tell: OnProgress) -> Trial:
        """Try the Space; its call may take `limit` seconds. What fails is a check, and raises nothing."""
        trial = Trial()
        try:
            async with asyncio.timeout(LONGEST_SECONDS):
                await self._try(entry, limit, trial, tell)
        except StepError as error:
            trial.checks.append(_ended(error))
        except TimeoutError:
            words = f"not done within {LONGEST_SECONDS / 3600:g} hours"
            trial.checks.append(Check("start", Mark.UNKNOWN, words, decisive=True))
        return trial

    async def _try(self, entry: SpaceEntry, limit: float, trial: Trial, tell: OnProgress) -> None:
        program = entry.adapter == "command"
        found = _for_program(entry, limit) if program else await self._described(entry, limit, trial, tell)
        if found is None:
            return
        request, files = found
        answer = await self._take(entry, request, files, trial, tell)
        trial.endpoint = answer.by.endpoint
        if program:
            trial.checks.append(Check("start", Mark.OK, "its program ran"))
        trial.checks.append(_judged(entry, answer.answer, trial, bool(files)))

    async def _described(
        self, entry: SpaceEntry, limit: float, trial: Trial, tell: OnProgress
    ) -> tuple[JobRequest, tuple[Payload, ...]] | None:
        """The call to make, once the app runs: the app's own example, else the first sample that fits it."""
        why = "it takes nothing that there is a sample of"
        for sample in samples_of(entry, known=UNKNOWN not in entry.takes):
            request = _request(sample, limit).model_copy(update={"explain": True})
            answer = await self._take(entry, request, sample.files, trial, tell)
            if not trial.endpoints:
                trial.checks.append(Check("start", Mark.OK, _started(trial.seconds)))
            trial.endpoints = list(answer.answer.data or ())
            if (chosen := _chosen(answer.answer.data)) is not None:
                shown = f"{chosen['endpoint']}({', '.join(chosen['parameters'])})"
                trial.checks.append(Check("endpoints", Mark.OK, f"{shown} would be called"))
                return _call(entry, chosen, sample, limit), sample.files
            why = (answer.answer.text or why).strip().splitlines()[-1].strip()
        known = {"image", "audio", "text", "file", UNKNOWN} & entry.takes
        advice = "Name the right one by `endpoint`, or correct `input_type`."
        trial.checks.append(Check("endpoints", Mark.BAD if known else Mark.UNKNOWN, why, advice))
        return None

    async def _take(
        self,
        entry: SpaceEntry,
        request: JobRequest,
        files: tuple[Payload, ...],
        trial: Trial,
        tell: OnProgress,
    ) -> StepAnswer:
        async def given() -> tuple[Payload, ...]:
            return files

        def on_progress(stage: Stage, name: str, message: str, partial: str | None) -> None:
            tell(message)

        trace = StepContext(TakenJob("trial", request), on_progress, entry.id, given)
        try:
            return await self._spaces.run(entry, trace)
        finally:
            # Also of one that failed: what is said of an image is worth nothing for another.
            trial.digest = trace.digest or trial.digest
            for kind, seconds in trace.seconds.items():
                # Only the first of several looks at an app starts it.
                trial.seconds[kind] = (
                    seconds if kind == "call" else max(seconds, trial.seconds.get(kind, 0.0))
                )


def _for_program(entry: SpaceEntry, limit: float) -> tuple[JobRequest, tuple[Payload, ...]]:
    sample = next(samples_of(entry, known=False))
    return _request(sample, limit), sample.files


def _request(sample: Sample, limit: float) -> JobRequest:
    return JobRequest(
        prompt=sample.prompt,
        files=tuple(file.ref for file in sample.files),
        inputs=dict(sample.inputs),
        tier=Tier.HEAVY,
        fallback=Fallback.NONE,
        timeout=limit,
    )


def _call(entry: SpaceEntry, chosen: EndpointRow, sample: Sample, limit: float) -> JobRequest:
    """The trial call to the endpoint that was chosen for the sample."""
    request = _request(sample, limit)
    if chosen.get("example") and entry.trial is None:
        given = {"prompt": "", "inputs": chosen["example"], "endpoint": chosen["endpoint"]}
        request = request.model_copy(update=given)
    return request


def _chosen(rows: Any) -> EndpointRow | None:
    return next((row for row in rows or () if row.get("chosen")), None)


def _started(seconds: Mapping[str, float]) -> str:
    start = seconds.get("start", 0.0)
    return f"it was ready after {start:.1f} s" if start else "it was running already"


def _judged(entry: SpaceEntry, answer: AppAnswer, trial: Trial, own_file: bool) -> Check:
    """Whether an answer of the kind came back that the entry promises."""
    got = {kind_of(file.ref.media_type) for file in answer.files}
    got |= {"text"} if (answer.text or "").strip() else set()
    got |= {"json"} if answer.data not in (None, "", [], {}) else set()
    got |= {"file"} if answer.files else set()
    own = entry.trial.expects if entry.trial else None
    gives = frozenset(own.split("_and_")) if own else entry.gives
    missing = sorted(gives - got - {UNKNOWN})
    where = f" to {trial.endpoint}" if trial.endpoint else ""
    took = f"in {trial.seconds.get('call', 0.0):.1f} s"
    if not missing:
        kinds = " and ".join(sorted(gives - {UNKNOWN})) or "something"
        return Check("call", Mark.OK, f"it answered a trial call{where} with {kinds} {took}")
    if own_file and not got:
        words = f"it answered a trial call{where} {took}, but with nothing: our sample may say nothing to it"
        return Check("call", Mark.UNKNOWN, words)
    words = f"it answered a trial call{where} with {' and '.join(sorted(got)) or 'nothing'}"
    said = "trial" if own else "output_type"
    advice = f"Correct `{said}` in its entry, or name another `endpoint`."
    return Check("call", Mark.BAD, f"{words}, and its entry promises {' and '.join(missing)}", advice)


def _ended(error: StepError) -> Check:
    """The check that the error ended: bad, unless it is no Space's fault."""
    away = error.kind in _BLAMELESS or isinstance(error, HostBusyError | HubAwayError)
    name = _CHECK_OF.get(error.stage, "call")
    return Check(name, Mark.UNKNOWN if away else Mark.BAD, str(error), decisive=True)
