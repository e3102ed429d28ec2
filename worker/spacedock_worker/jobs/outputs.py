"""From an app's answer to a job's output: text bounded, files stored by their content."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from redis.asyncio import Redis
from redis.exceptions import OutOfMemoryError

from spacedock._stores.payloads import Payloads, grace_of
from spacedock._wire import keys
from spacedock._wire.scripts import script
from spacedock.errors import FileTooLargeError
from spacedock.files import check_sizes, set_apart
from spacedock.result import ErrorKind, Output, Stage
from spacedock_worker.adapters.base import AppAnswer
from spacedock_worker.errors import StepError

PAST_LIMIT = 1.25
"""Files of results may fill a server that is full up to so many times its `maxmemory`."""

MAX_TEXT = 2**20
"""Characters of `output.text`; what is longer is cut, and flagged (the data stay whole)."""


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
    long = text is not None and len(text) > MAX_TEXT
    output = Output(
        text=text[:MAX_TEXT] if text is not None else None,
        data=answer.data,
        files=tuple(payload.ref for payload in answer.files),
        truncated=long or answer.truncated,
    )
    try:
        output.model_dump_json()
    except (ValueError, RecursionError) as error:
        message = f"the app's answer cannot be written as JSON ({type(error).__name__})"
        raise StepError(Stage.OUTPUT, ErrorKind.BAD_OUTPUT, message) from error
    return output


def as_given(answer: AppAnswer, gives: Collection[str]) -> AppAnswer:
    """The answer in the light of the kinds that its Space gives, such as {"text"}.

    Where text is given and there is none, but one file of text, such as a transcript, that is the text.
    """
    written = [file for file in answer.files if file.ref.media_type.startswith("text/")]
    if "text" not in gives or answer.text or len(written) != 1:
        return answer
    return replace(answer, text=written[0].data.decode(errors="replace"))


def apart(answer: AppAnswer, job_id: str) -> AppAnswer:
    """The answer with its files in its job's vault, as privacy asks for."""
    return replace(answer, files=set_apart(answer.files, job_id))


_STORE_PAST = script("store_past", PAST_LIMIT=PAST_LIMIT)


async def store_files(redis: Redis, payloads: Payloads, answer: AppAnswer) -> None:
    """Store the answer's files, each content once, also where the server is full: no new job starts then.

    Raises redis-py's OutOfMemoryError where not even that is possible; later it may be.
    """
    try:
        await payloads.keep(answer.files)
    except OutOfMemoryError:
        script = redis.register_script(_STORE_PAST)
        for payload in answer.files:
            await script(keys=[keys.payload(payload.ref.place)], args=[payload.data, grace_of(payload)])
