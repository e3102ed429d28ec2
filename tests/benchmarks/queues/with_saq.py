"""SAQ: 100 jobs at once instead of 10, a connection for each, and results that are asked for every 1 ms."""

import asyncio
import sys
from typing import Any

import measured
import uvloop
from redis.asyncio import Redis
from saq import Worker
from saq.queue.redis import RedisQueue


async def noop(ctx: Any) -> None:
    measured.ran()


async def held(ctx: Any, number: int) -> None:
    await measured.held(number)


class Saq:
    def __init__(self, url: str) -> None:
        self.url = url

    async def open(self) -> None:
        self.queue = RedisQueue(Redis.from_url(self.url, max_connections=1000))
        await self.queue.connect()

    async def round_trip(self) -> None:
        await self.queue.apply("noop", poll_interval=0.001)

    async def submit(self, count: int) -> None:
        await asyncio.gather(*(self.queue.enqueue("noop") for _ in range(count)))

    async def submit_held(self, number: int) -> None:
        await self.queue.enqueue("held", number=number)

    async def work(self, jobs: int | None) -> None:
        await self.open()
        await Worker(self.queue, [noop, held], concurrency=jobs or 100).start()


asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
measured.run(Saq(sys.argv[2]))
