"""From an app's answer to a job's output: text bounded, files stored by their content."""

from __future__ import annotations

from redis.asyncio import Redis

from spacedock import submission
from spacedock.errors import FileTooLargeError
from spacedock.files import check_sizes
from spacedock.result import ErrorKind, Output, Stage
from spacedock_worker.adapters.base import AppAnswer
from spacedock_worker.errors import StepError

MAX_TEXT = 2**20
"""Characters of `output.text`; what is longer is cut, and says so (the data stay whole)."""


def output_of(answer: AppAnswer) -> Output:
    """The answer as the job's result has it.

    Raises StepError where its files are over the limits, or where it cannot be written as JSON.
    """
    try:
        check_sizes(answer.files)
    except FileTooLargeError as error:
        message = f"the app's answer is too large: {error}"
        raise StepError(Stage.OUTPUT, ErrorKind.BAD_OUTPUT, message) from error
    text = answer.text
    if text is not None and len(text) > MAX_TEXT:
        text = text[:MAX_TEXT] + f"\n[cut after {MAX_TEXT} of {len(answer.text or '')} characters]"
    output = Output(text=text, data=answer.data, files=tuple(payload.ref for payload in answer.files))
    try:
        output.model_dump_json()
    except (ValueError, RecursionError) as error:
        message = f"the app's answer cannot be written as JSON ({type(error).__name__})"
        raise StepError(Stage.OUTPUT, ErrorKind.BAD_OUTPUT, message) from error
    return output


async def store_files(redis: Redis, answer: AppAnswer) -> None:
    """Store the answer's files, each content once."""
    await submission.upload(redis, answer.files)
