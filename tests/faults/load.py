"""The jobs that run while things fail, and the exact account of them."""

from __future__ import annotations

import asyncio
import hashlib
import random
import secrets
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from tests.faults.account import Account

from spacedock import Client
from spacedock._wire import keys
from spacedock._wire.connection import OUTAGES, answer, connect
from spacedock.errors import (
    JobNotFoundError,
    NotConnectedError,
    QueueFullError,
    RefusedError,
    StoreAwayError,
)
from spacedock.files import Payload, payload_of
from spacedock.pipelines.model import Pipeline
from spacedock.pipelines.submitting import prepared
from spacedock.request import Fallback, JobRequest
from spacedock.result import JobResult
from spacedock.states import JobState

SPACE = "counting"
TEXT, FILE, PIPELINE = "text", "file", "pipeline"
KINDS = (TEXT, TEXT, FILE, PIPELINE)

USERS = 8
FILE_BYTES = 2**16
END_SECONDS = 240.0
MOST_SECONDS = 240.0
_PAUSE = 0.1
LIVE = (JobState.QUEUED, JobState.RUNNING)
_TROUBLE = (NotConnectedError, RefusedError, QueueFullError, StoreAwayError)

_SHOUTED = {"space": SPACE, "endpoint": "/shout", "fallback": "none"}
TWICE = Pipeline.model_validate(
    {
        "name": "twice",
        "inputs": {"text": {"type": "text"}},
        "steps": {
            "once": {**_SHOUTED, "prompt": "${{ inputs.text }}"},
            "again": {**_SHOUTED, "prompt": "${{ steps.once.text }}"},
        },
        "outputs": {"text": "${{ steps.again.text }}"},
    }
)

Calls = Callable[[], Sequence[tuple[float, str]]]
"""The calls that Spaces have noted: when (s since 1970), and the SHA-256 of what was asked."""


@dataclass(frozen=True, slots=True)
class Job:
    """One job: its request, its files, the SHA-256 of what its Space is asked, and what it answers."""

    request: JobRequest
    payloads: tuple[Payload, ...]
    asked: tuple[str, ...]
    answer: bytes


def text_job(token: str) -> Job:
    """A text, answered in capital letters."""
    key = f"fault-{token}"
    request = JobRequest(
        prompt=key, space=SPACE, endpoint="/shout", fallback=Fallback.NONE, idempotency_key=key
    )
    return Job(request, (), (_digest(key),), key.upper().encode())


def file_job(token: str, size: int = FILE_BYTES) -> Job:
    """A file, answered with its bytes in reverse."""
    key = f"fault-{token}"
    data = random.Random(token).randbytes(size)
    payload = payload_of(f"{token}.bin", data)
    request = JobRequest(
        files=(payload.ref,),
        space=SPACE,
        endpoint="/reversed",
        fallback=Fallback.NONE,
        idempotency_key=key,
    )
    return Job(request, (payload,), (payload.ref.sha256,), data[::-1])


def pipeline_job(token: str) -> Job:
    """A run of two steps: a text in capital letters, and once more."""
    key = f"fault-{token}"
    request, _ = prepared(TWICE, {"text": key}, None, {"idempotency_key": key})
    return Job(request, (), (_digest(key), _digest(key.upper())), key.upper().encode())


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


_MAKE = {TEXT: text_job, FILE: file_job, PIPELINE: pipeline_job}


class Load:
    """So many users who each submit a job, wait for its result, and submit the next, until `stop`.

    A user whose submission was not acknowledged submits the same job again. `calls` are what the Spaces have
    noted. Use it as `async with`; `account` is what came of all jobs.
    """

    def __init__(
        self, url: str, calls: Calls, users: int = USERS, kinds: Sequence[str] = KINDS, size: int = FILE_BYTES
    ) -> None:
        self._client, self._redis, self._calls = Client(url), connect(url), calls
        self._users, self._kinds, self._size = users, kinds, size
        self._dice, self._going = random.Random(9), True
        self.jobs: dict[str, Job] = {}
        self.results: dict[str, JobResult] = {}
        self.ends: dict[str, list[float]] = defaultdict(list)
        self._wrong: dict[str, str] = {}
        self._missing: set[str] = set()
        self._last = 0
        self._tasks: list[asyncio.Task[None]] = []
        self.recovery: list[float] = []

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        self._listening = asyncio.create_task(self._listen())
        self._tasks = [asyncio.create_task(self._use()) for _ in range(self._users)]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in (*self._tasks, self._listening):
            task.cancel()
        await asyncio.gather(*self._tasks, self._listening, return_exceptions=True)
        await self._redis.aclose()
        await self._client.__aexit__(kind, error, trace)

    async def in_hand(self) -> dict[str, str]:
        """The jobs that run, each with the id of its worker."""
        states = {job_id: await self._state(job_id) for job_id in self.jobs.keys() - self.results.keys()}
        return {
            job_id: worker
            for job_id, (state, worker) in states.items()
            if state == JobState.RUNNING and worker
        }

    async def recovered(self, since: float, held: Mapping[str, str], *, lives: bool = False) -> None:
        """Wait until the jobs that were held are out of dead hands, and one is at work; note after how long.

        `since` is when their workers died, or, where these live, when what was away came back (s since 1970).
        """
        end = since + MOST_SECONDS
        while time.time() < end:
            with suppress(*OUTAGES):
                states = [(*await self._state(job_id), worker) for job_id, worker in held.items()]
                if not held or _at_work_again(states, lives):
                    break
            await asyncio.sleep(_PAUSE)
        self.recovery.append(time.time() - since)

    async def served(self, count: int = 1, limit: float = MOST_SECONDS) -> None:
        """Wait until so many more jobs have ended."""
        wanted = len(self.results) + count
        async with asyncio.timeout(limit):
            while len(self.results) < wanted:  # noqa: ASYNC110
                await asyncio.sleep(_PAUSE)

    async def _state(self, job_id: str) -> tuple[str, str]:
        state, worker = await answer(self._redis.hmget(keys.job(job_id), "state", "worker"))
        return (state or b"").decode(), (worker or b"").decode()

    async def stop(self, trials: int, seconds: float = END_SECONDS) -> Account:
        """Submit no more, wait until every job has ended, and say what came of them."""
        self._going = False
        _, late = await asyncio.wait(self._tasks, timeout=seconds)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        for task in set(self._tasks) - late:
            task.result()
        # The listener may be behind; an end that is told twice is told at once.
        async with asyncio.timeout(60):
            while self.results.keys() - self.ends.keys():  # noqa: ASYNC110
                await asyncio.sleep(_PAUSE)
        return await self._account(trials)

    async def _account(self, trials: int) -> Account:
        again = {job_id: await self._client.result(job_id, wait=5, keep=True) for job_id in self.results}
        doubled = {job_id for job_id, result in self.results.items() if again[job_id] != result}
        doubled |= {job_id for job_id, ends in self.ends.items() if len(ends) > 1}
        doubled |= self._called_after_the_end()
        lost = self.jobs.keys() - self.results.keys()
        wrong = [f"{job_id}: {why}" for job_id, why in self._wrong.items()]
        wrong += [f"{job_id}: doubled" for job_id in doubled] + [f"{job_id}: lost" for job_id in lost]
        return Account(
            trials=trials,
            acknowledged=len(self.jobs),
            lost=len(lost),
            doubled=len(doubled),
            failed=len(self._wrong),
            recovery=tuple(self.recovery),
            wrong=tuple(wrong),
        )

    async def _use(self) -> None:
        while self._going:
            token = secrets.token_hex(8)
            kind = self._dice.choice(self._kinds)
            job = file_job(token, self._size) if kind == FILE else _MAKE[kind](token)
            if (job_id := await self._submitted(job)) is not None:
                self.jobs[job_id] = job
                await self._ended(job_id, job)

    async def _submitted(self, job: Job) -> str | None:
        """The id of the job once it is acknowledged; None where the load stopped before that."""
        while self._going:
            try:
                return await self._client.submit_prepared(job.request, job.payloads)
            except _TROUBLE as error:
                if isinstance(error, RefusedError) and error.lasting:
                    raise
            await asyncio.sleep(_PAUSE)
        return None

    async def _ended(self, job_id: str, job: Job) -> None:
        while True:
            try:
                result = await self._client.result(job_id, keep=True)
                why = await self._fault(result, job)
            except JobNotFoundError:
                return
            except _TROUBLE:
                await asyncio.sleep(_PAUSE)
                continue
            self.results[job_id] = result
            if why:
                self._wrong[job_id] = why
            return

    async def _fault(self, result: JobResult, job: Job) -> str:
        """Why the result is not the right one; "" where it is."""
        if not result.succeeded:
            return f"{result.state.value}: {result.error}"
        if job.payloads:
            answers = [await self._client.fetch(file) for file in result.output.files]
        else:
            answers = [(result.output.text or "").strip().encode()]
        return "" if any(job.answer in answer for answer in answers) else "another answer than the right one"

    async def _listen(self) -> None:
        """Note the end of each job, however often it is told."""
        while True:
            with suppress(*_TROUBLE):
                async for event in self._client.events(after=self._last):
                    self._last = max(self._last, event.id)
                    if event.state is not None:
                        self.ends[event.job_id].append(event.at)
            await asyncio.sleep(_PAUSE)

    def _called(self) -> dict[str, list[float]]:
        """When each job was called."""
        noted: dict[str, list[float]] = defaultdict(list)
        for at, digest in self._calls():
            noted[digest].append(at)
        return {job_id: [at for one in job.asked for at in noted[one]] for job_id, job in self.jobs.items()}

    def _called_after_the_end(self) -> set[str]:
        called = self._called()
        return {
            job_id
            for job_id, ends in self.ends.items()
            if any(at > min(ends) for at in called.get(job_id, ()))
        }


def _at_work_again(states: Iterable[tuple[str, str, str]], lives: bool) -> bool:
    """Whether nobody dead holds a job, and one is held by a worker that lives, or has ended.

    `states` are of each job its state, its worker now, and its worker before.
    """
    running = [(now, before) for state, now, before in states if state == JobState.RUNNING]
    if not lives and any(now == before for now, before in running):
        return False
    return bool(running) or any(state not in LIVE for state, _, _ in states)
