"""arq: polls every 10 ms instead of every 500, up to 100 jobs at once instead of 10."""

import asyncio
import sys
from typing import Any

import measured
import uvloop
from arq.connections import RedisSettings, create_pool
from arq.worker import Worker


async def noop(ctx: Any) -> None:
    measured.ran()


async def held(ctx: Any, number: int) -> None:
    await measured.held(number)


class Arq:
    def __init__(self, url: str) -> None:
        self.settings = RedisSettings(unix_socket_path=url.removeprefix("unix://"))

    async def open(self) -> None:
        self.redis = await create_pool(self.settings)

    async def round_trip(self) -> None:
        job = await self.redis.enqueue_job("noop")
        await job.result(poll_delay=0.001)

    async def submit(self, count: int) -> None:
        for _ in range(count):
            await self.redis.enqueue_job("noop")

    async def submit_held(self, number: int) -> None:
        await self.redis.enqueue_job("held", number)

    async def work(self, jobs: int | None) -> None:
        fast = {"max_jobs": 100, "poll_delay": 0.01} if jobs is None else {"max_jobs": jobs}
        worker = Worker([noop, held], redis_settings=self.settings, handle_signals=False, **fast)
        await worker.async_run()


asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
measured.run(Arq(sys.argv[2]))
