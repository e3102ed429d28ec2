"""One script for many callers: those that call while another call is on its way share the next round trip."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis
from redis.commands.core import AsyncScript
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError

from spacedock_worker.queue.patience import TROUBLE

_MOST_BYTES = 2**20
"""So much goes in one round trip, and one call at the least."""


@dataclass(frozen=True, slots=True, eq=False)
class _Call:
    keys: Sequence[str]
    args: Sequence[Any]
    size: int
    answer: asyncio.Future[Any]


class GroupCommit:
    """Runs `script` once for each call, in the order of the calls."""

    def __init__(self, redis: Redis, script: AsyncScript) -> None:
        self._redis, self._script = redis, script
        self._waiting: list[_Call] = []
        self._turn = asyncio.Lock()

    async def __call__(self, keys: Sequence[str], args: Sequence[Any], size: int = 0) -> Any:
        """What the script answers. `size` says how many bytes the call carries.

        Raises redis-py's errors. Where the answer is lost the script may have run.
        """
        call = _Call(keys, args, size, asyncio.get_running_loop().create_future())
        self._waiting.append(call)
        try:
            async with self._turn:
                # Those that call in this turn of the event loop go together.
                await asyncio.sleep(0)
                while not call.answer.done():
                    await self._send()
        finally:
            if call in self._waiting:
                self._waiting.remove(call)
        answer = await call.answer
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def _send(self) -> None:
        """Run the script for those that wait; each gets its own answer or error."""
        count, size = 1, self._waiting[0].size
        while count < len(self._waiting) and size + self._waiting[count].size <= _MOST_BYTES:
            size += self._waiting[count].size
            count += 1
        calls, self._waiting = self._waiting[:count], self._waiting[count:]
        answers: Sequence[Any] = [RedisConnectionError("the call was stopped")] * count
        try:
            answers = await self._answers(calls)
        except TROUBLE as error:
            answers = [error] * count
        finally:
            for call, answer in zip(calls, answers, strict=True):
                call.answer.set_result(answer)

    async def _answers(self, calls: Sequence[_Call]) -> Sequence[Any]:
        if len(calls) == 1:
            return [await self._script(keys=calls[0].keys, args=calls[0].args)]
        async with self._redis.pipeline(transaction=False) as pipe:
            for call in calls:
                pipe.evalsha(self._script.sha, len(call.keys), *call.keys, *call.args)
            answers = await pipe.execute(raise_on_error=False)
        unknown = [place for place, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        for place in unknown:
            # The server has forgotten the script: redis-py loads it and calls again.
            answers[place] = await self._script(keys=calls[place].keys, args=calls[place].args)
        return answers
