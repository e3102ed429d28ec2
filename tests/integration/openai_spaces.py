"""Scripted Spaces behind the door, for OpenAI's clients: every kind of answer comes when it is asked for."""

from __future__ import annotations

import asyncio
from typing import Any

from redis.asyncio import Redis

from spacedock._wire.rpc import Call, OnProgress, Op, Reply
from spacedock.files import payload_of
from spacedock.request import Tier
from spacedock.result import (
    AnsweredBy,
    AnswerKind,
    Attempt,
    AttemptError,
    ErrorKind,
    JobResult,
    Output,
    Stage,
)
from spacedock.states import JobState
from spacedock_worker.queue.progress import Emit
from spacedock_worker.queue.runner import TakenJob

PICTURE = payload_of("cat.png", b"\x89PNG the cat")
SPOKEN = payload_of("said.wav", b"RIFF the words")
SPACES = {
    "chat": {"category": "nlp", "input_type": "text", "output_type": "text", "status": "available"},
    "draw": {"category": "image_processing", "input_type": "text", "output_type": "image"},
    "hear": {
        "category": "audio_processing",
        "input_type": "audio",
        "output_type": "text",
        "hub_id": "u/hear",
    },
    "say": {"category": "audio_processing", "input_type": "text", "output_type": "audio"},
    "embed": {"category": "nlp", "input_type": "text", "output_type": "text"},
}
TASKS = {"text to image": "draw", "automatic speech recognition": "hear", "text to speech": "say"}


async def registry(call: Call, redis: Redis, tell: OnProgress) -> Reply:
    if call.op is Op.LIST:
        return Reply(spaces={name: {"id": name, **entry} for name, entry in SPACES.items()})
    if call.op is not Op.RECOMMEND:
        return Reply(error="these Spaces tell nothing of their apps")
    name = TASKS.get(call.options.get("text", ""))
    row = dict.fromkeys(("category", "input_type", "output_type", "description", "state"), "")
    found = [{**row, "name": name, "hub_id": None, "score": 1.0, "reasons": [], "fits": True}] if name else []
    return Reply(data={"task": "", "category": None, "spaces": found, "advice": None})


class Spaces:
    """What the Spaces answer; `held` lets jobs that say "wait" wait, `prompts` has what was asked."""

    def __init__(self) -> None:
        self.held, self.began, self.stopped = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.asked: list[Any] = []

    async def __call__(self, job: TakenJob, tell: Emit) -> JobResult:
        self.asked.append(job.request)
        prompt = job.request.prompt
        if prompt == "wait":
            self.began.set()
            try:
                await self.held.wait()
            except asyncio.CancelledError:
                self.stopped.set()
                raise
        if prompt == "broken":
            error = AttemptError(kind=ErrorKind.BAD_INPUT, message="it has no such input")
            attempt = Attempt(tier=Tier.HEAVY, name="chat", stage=Stage.CALL, error=error)
            return JobResult(id=job.id, state=JobState.FAILED, attempts=(attempt,))
        if prompt == "count":
            for end in range(1, 4):
                tell(Stage.CALL, "chat", "", "one two three"[: end * 4])
        honoured = tuple(name for name in job.request.optional_inputs if name in ("temperature", "width"))
        name = job.request.space or job.request.tier.value
        by = AnsweredBy(tier=Tier.HEAVY, kind=AnswerKind.SPACE, name=name, honoured=honoured)
        return JobResult(
            id=job.id,
            state=JobState.SUCCEEDED,
            answered_by=by,
            degraded=name == "auto",
            output=output(name, prompt),
        )


def output(space: str, prompt: str) -> Output:
    if space == "draw":
        return Output(text="cat.png", files=(PICTURE.ref,))
    if space == "say":
        return Output(files=(SPOKEN.ref,))
    if space == "embed":
        return Output(text="[…]", data=[[float(len(prompt)), 0.5]])
    if space == "hear":
        data = {"language": "en", "segments": [{"start": 0.0, "end": 1.5, "text": "hello"}]}
        return Output(text="hello", data=data)
    return Output(text="one two three" if prompt == "count" else f"you said: {prompt}")
