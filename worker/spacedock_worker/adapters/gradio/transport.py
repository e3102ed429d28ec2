"""What every way to call a Gradio function has in common."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from spacedock_worker.adapters.faults import app_error, bad_input, unexplained
from spacedock_worker.adapters.gradio.events import AppQueueFullError, Follower
from spacedock_worker.adapters.http import AppRefusedError

SMALL_ANSWER_BYTES = 2**20
FULL_QUEUE_WAITS = (1.0, 2.0, 4.0, 8.0)


@dataclass(frozen=True, slots=True)
class Posting:
    """One call of a function, `data` by position, in a session of its own; `batched` as a batch of one."""

    fn_index: int
    data: Sequence[Any]
    session: str
    batched: bool = False

    @property
    def body(self) -> dict[str, Any]:
        """The call as JSON, as every version takes it."""
        data = [[value] for value in self.data] if self.batched else list(self.data)
        batched = {"batched": True} if self.batched else {}
        return {"data": data, "fn_index": self.fn_index, "session_hash": self.session, **batched}


class Transport(Protocol):
    """One way to call a function of the app and wait for its whole output."""

    async def call(self, posting: Posting, follower: Follower) -> list[Any]:
        """The outputs by position. Raises QueueFullError, StepError (`app_error`, `crashed`, `bad_output`).

        Cancelled, it has the app stop where the app can, and notes in `follower.stopped` that it did.
        """
        ...


async def call_patiently(
    transport: Transport, posting: Posting, follower: Follower, waits: Sequence[float] = FULL_QUEUE_WAITS
) -> list[Any]:
    """Call, and call again after each of `waits` (seconds) while the app's queue is full."""
    for wait in waits:
        try:
            return await transport.call(posting, follower)
        except AppQueueFullError:
            follower.on_progress("the app's queue is full")
            await asyncio.sleep(wait)
    try:
        return await transport.call(posting, follower)
    except AppQueueFullError as error:
        raise app_error("the app's queue is full: try again later") from error


def refusal(error: AppRefusedError) -> Exception:
    """An HTTP error where the app was to take a call."""
    if error.status == 503 and "full" in error.detail.lower():
        return AppQueueFullError()
    if error.status == 422 and (faults := _faults(error.told)):
        return bad_input(f"the app does not take {'; '.join(faults)}")
    if error.status >= 500 and not error.detail:
        return unexplained(f"the app refused the call ({error})")
    return app_error(f"the app refused the call ({error})")


def _faults(told: Any) -> list[str]:
    """What the validators of Gradio 6 say of each input, as "age: Too young"."""
    rows = told.get("detail") if isinstance(told, dict) else told
    faults = []
    for row in rows if isinstance(rows, list) else ():
        match row:
            case {"is_valid": False, "message": str(message)}:
                name = row.get("parameter_name")
                faults.append(f"{name}: {message}" if isinstance(name, str) else message)
    return faults
