"""What a call raises is contained, and a call that never begins leaves nothing."""

from __future__ import annotations

import asyncio

import pytest

from spacedock_worker.errors import EscapedError, contained


async def test_a_call_that_is_cancelled_before_it_begins_leaves_no_coroutine() -> None:
    begun: list[int] = []

    async def call() -> None:
        begun.append(1)

    # A coroutine that is left behind is a warning, and warnings are errors here.
    task = asyncio.create_task(contained(call))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert begun == []


async def test_an_exit_is_an_error_of_the_call() -> None:
    async def call() -> None:
        raise SystemExit(1)

    with pytest.raises(EscapedError, match="SystemExit"):
        await contained(call)
