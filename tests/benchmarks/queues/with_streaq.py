"""streaq: 100 tasks at once instead of 16, JSON instead of pickle."""

import asyncio
import json
import sys
from contextlib import AsyncExitStack

import measured
import uvloop
from streaq import Worker


class Streaq:
    def __init__(self, url: str, jobs: int | None) -> None:
        as_json = {"serializer": json.dumps, "deserializer": json.loads}
        self.worker = Worker(redis_url=url, concurrency=jobs or 100, handle_signals=False, **as_json)

        @self.worker.task
        async def noop() -> None:
            measured.ran()

        @self.worker.task
        async def held(number: int) -> None:
            await measured.held(number)

        self.noop, self.held = noop, held
        self.stack = AsyncExitStack()

    async def open(self) -> None:
        await self.stack.enter_async_context(self.worker)

    async def round_trip(self) -> None:
        task = await self.noop.enqueue()
        await task.result()

    async def submit(self, count: int) -> None:
        await self.worker.enqueue_many([self.noop.enqueue() for _ in range(count)])

    async def submit_held(self, number: int) -> None:
        await self.held.enqueue(number)

    async def work(self, jobs: int | None) -> None:
        await self.worker.run_async()


asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
measured.run(Streaq(sys.argv[2], int(sys.argv[4]) if sys.argv[4:] else None))
