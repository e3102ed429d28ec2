"""One script for many callers: those that call while another call is on its way share the next one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from redis.commands.core import AsyncScript
from redis.exceptions import ConnectionError as RedisConnectionError

from spacedock_worker.queue.patience import TROUBLE

_MOST_BYTES = 2**20
_MOST_CALLS = 128
"""So much, and so many calls, go in one round trip, and one call at the least."""


@dataclass(frozen=True, slots=True, eq=False)
class _Call:
    keys: Sequence[str]
    args: Sequence[Any]
    size: int
    answer: asyncio.Future[Any]


class GroupCommit:
    """Runs `script` for many calls at a time: with the keys and arguments of each, one after the other.

    It answers with a list, which has an answer or an error for each call.
    """

    def __init__(self, script: AsyncScript) -> None:
        self._script = script
        self._waiting: list[_Call] = []
        self._sending: asyncio.Task[None] | None = None

    async def __call__(self, keys: Sequence[str], args: Sequence[Any], size: int = 0) -> Any:
        """What the script answers. `size` says how many bytes the call carries.

        Raises redis-py's errors. Where the answer is lost the script may have run.
        """
        call = _Call(keys, args, size, asyncio.get_running_loop().create_future())
        self._waiting.append(call)
        if self._sending is None or self._sending.done():
            # It begins in the next turn of the event loop: those that call in this one go together.
            self._sending = asyncio.create_task(self._send_all())
        try:
            answer = await call.answer
        finally:
            if call in self._waiting:
                self._waiting.remove(call)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def _send_all(self) -> None:
        while self._waiting:
            await self._send()

    async def _send(self) -> None:
        """Run the script for those that wait; each gets its own answer or error."""
        count, size = 1, self._waiting[0].size
        most = min(len(self._waiting), _MOST_CALLS)
        while count < most and size + self._waiting[count].size <= _MOST_BYTES:
            size += self._waiting[count].size
            count += 1
        calls, self._waiting = self._waiting[:count], self._waiting[count:]
        answers: Sequence[Any] = [RedisConnectionError("the call was stopped")] * count
        try:
            keys = [key for call in calls for key in call.keys]
            answers = await self._script(keys=keys, args=[arg for call in calls for arg in call.args])
        except TROUBLE as error:
            answers = [error] * count
        finally:
            for call, answer in zip(calls, answers, strict=True):
                if not call.answer.done():
                    call.answer.set_result(answer)
