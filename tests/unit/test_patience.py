"""Waiting for a Redis that is away: what passes is waited for, what does not is told at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from redis.exceptions import (
    BusyLoadingError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError

from spacedock_worker.errors import GiveBackError
from spacedock_worker.queue import patience
from spacedock_worker.queue.patience import through_outages


def failing(*errors: Exception) -> Callable[[], Awaitable[str]]:
    """A call that fails with these, and then works."""
    left = list(errors)

    async def call() -> str:
        if left:
            raise left.pop(0)
        return "answer"

    return call


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "PAUSE_SECONDS", 0.0)


@pytest.mark.parametrize(
    "error",
    [
        RedisConnectionError("Connection refused"),
        ConnectionResetError(),
        TimeoutError(),
        BusyLoadingError("Redis is loading the dataset in memory"),
        ReadOnlyError("You can't write against a read only replica."),
        OutOfMemoryError("command not allowed when used memory > 'maxmemory'."),
        ResponseError("MISCONF Errors writing to the AOF file: No space left on device"),
        ResponseError("NOREPLICAS Not enough good replicas to write."),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_what_passes_is_waited_for(error: Exception) -> None:
    assert await through_outages(failing(error, error)) == "answer"


@pytest.mark.parametrize(
    "error",
    [ResponseError("WRONGTYPE Operation against a key"), NoPermissionError("no"), ZeroDivisionError()],
    ids=lambda error: type(error).__name__,
)
async def test_what_does_not_pass_is_raised_at_once(error: Exception) -> None:
    with pytest.raises(type(error)):
        await through_outages(failing(error))


async def test_the_wait_has_an_end_and_the_job_goes_back() -> None:
    with pytest.raises(GiveBackError, match="Redis was away"):
        await through_outages(failing(*[RedisConnectionError()] * 100_000), 0.05)
