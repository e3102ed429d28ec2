"""From an app's answer to a job's output: what is cut, what is refused, and how a result tells its error."""

from __future__ import annotations

import json
from typing import Any

import pytest
from redis.asyncio import Redis

from spacedock._stores.payloads import Payloads
from spacedock._wire import keys, wire
from spacedock._wire.connection import connect
from spacedock.files import MAX_FILE_BYTES, FileRef, Payload, payload_of
from spacedock.request import Tier
from spacedock.result import Attempt, AttemptError, ErrorKind, JobResult, Output, Stage
from spacedock.states import JobState
from spacedock_worker.adapters.base import AppAnswer
from spacedock_worker.errors import StepError
from spacedock_worker.jobs.handler import MAX_TEXT, output_of, store_files
from spacedock_worker.jobs.space_step import as_given


def answer(text: str | None = None, data: Any = None, files: tuple[Payload, ...] = ()) -> AppAnswer:
    return AppAnswer("/predict", text, data, files)


def refused(given: AppAnswer) -> str:
    with pytest.raises(StepError) as caught:
        output_of(given)
    assert (caught.value.stage, caught.value.kind) == (Stage.OUTPUT, ErrorKind.BAD_OUTPUT)
    return str(caught.value)


def sized(size: int) -> Payload:
    return Payload(FileRef(name="big", sha256="0" * 64, size=size), b"")


def test_text_data_and_files_are_passed_on() -> None:
    file = payload_of("a.txt", b"a")
    assert output_of(answer("yes", {"a": [1]}, (file,))) == Output(
        text="yes", data={"a": [1]}, files=(file.ref,)
    )


def test_no_text_stays_none() -> None:
    assert output_of(answer()).text is None


def test_text_at_the_limit_is_whole() -> None:
    assert output_of(answer("x" * MAX_TEXT)).text == "x" * MAX_TEXT


def test_text_over_the_limit_is_cut_and_says_so() -> None:
    output = output_of(answer("x" * (MAX_TEXT + 1)))
    assert (output.text, output.truncated) == ("x" * MAX_TEXT, True)


def test_a_file_over_the_limit_is_refused() -> None:
    assert "too large" in refused(answer(files=(sized(MAX_FILE_BYTES + 1),)))


def test_files_over_the_limit_together_are_refused() -> None:
    assert "all files of the job" in refused(answer(files=(sized(MAX_FILE_BYTES),) * 5))


def nested(depth: int) -> Any:
    data: Any = 1
    for _ in range(depth):
        data = [data]
    return data


@pytest.mark.parametrize("data", ["\ud800", {"a": ["\udfff"]}, nested(5000), b"\xff", object()])
def test_data_that_cannot_be_written_down_are_refused(data: Any) -> None:
    assert "cannot be written as JSON" in refused(answer(data=data))


def test_text_that_is_no_unicode_is_refused() -> None:
    assert "cannot be written as JSON" in refused(answer("\ud800"))


@pytest.mark.parametrize("data", [float("nan"), float("inf"), nested(64), 10**400, "\x00", ""])
def test_odd_data_can_be_written_and_read(data: Any) -> None:
    result = JobResult(id="j", state=JobState.SUCCEEDED, output=output_of(answer(data=data)))
    assert wire.decode(JobResult, wire.encode(result)).succeeded


async def test_files_are_stored_by_their_content_once(redis_url: str) -> None:
    files = tuple(payload_of(name, b"same") for name in "ab")
    async with connect(redis_url) as redis:
        await store_files(redis, Payloads(redis), answer(files=files))
        assert await kept(redis) == {keys.payload(files[0].ref.sha256): b"same"}


async def kept(redis: Redis) -> dict[str, bytes]:
    return {key.decode(): await redis.get(key) async for key in redis.scan_iter()}


def failed(*kinds: ErrorKind | None) -> JobResult:
    attempts = tuple(
        Attempt(
            tier=Tier.HEAVY,
            name=str(number),
            stage=Stage.PLAN,
            error=AttemptError(kind=kind, message=str(number)) if kind else None,
        )
        for number, kind in enumerate(kinds)
    )
    return JobResult(id="j", state=JobState.FAILED, attempts=attempts)


@pytest.mark.parametrize(
    ("kinds", "told"),
    [
        ([ErrorKind.CRASHED, ErrorKind.TIMEOUT, ErrorKind.SKIPPED], "1"),
        ([ErrorKind.SKIPPED, ErrorKind.SKIPPED], "1"),
        ([ErrorKind.CRASHED, None], "0"),
    ],
)
def test_a_failures_error_is_that_of_the_last_step_that_was_taken(kinds: list[ErrorKind], told: str) -> None:
    error = failed(*kinds).error
    assert error is not None
    assert error.message == told


def test_a_failure_without_attempts_has_no_error() -> None:
    assert failed().error is None


def test_a_success_has_no_error_though_steps_failed_before() -> None:
    assert failed(ErrorKind.CRASHED).model_copy(update={"state": JobState.SUCCEEDED}).error is None


def test_a_transcript_in_a_file_is_the_text_where_text_was_to_come() -> None:
    told = answer(None, files=(payload_of("talk.srt.txt", "bonjour à tous".encode()),))
    assert as_given(told, {"text"}).text == "bonjour à tous"
    assert as_given(told, {"file"}) == told


def test_words_beside_a_file_stay_the_text() -> None:
    told = answer("two speakers", files=(payload_of("talk.txt", b"hello"),))
    assert as_given(told, {"text"}) == told


def test_a_results_json_carries_its_error_at_the_top_and_is_read_again() -> None:
    failed = JobResult(
        id="j",
        state=JobState.FAILED,
        attempts=(
            Attempt(
                tier=Tier.HEAVY,
                name="mood",
                stage=Stage.CALL,
                error=AttemptError(kind=ErrorKind.APP_ERROR, message="Too young"),
            ),
            Attempt(
                tier=Tier.FAST,
                name="tier 1",
                stage=Stage.PLAN,
                error=AttemptError(kind=ErrorKind.SKIPPED, message="none"),
            ),
        ),
    )
    told = json.loads(failed.model_dump_json())
    assert told["error"] == {"kind": "app_error", "message": "Too young", "host": False}
    assert wire.decode(JobResult, wire.encode(failed)) == failed
    assert JobResult(id="j", state=JobState.SUCCEEDED).model_dump()["error"] is None
