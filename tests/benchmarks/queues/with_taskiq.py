"""taskiq: its stream broker, which acknowledges, orjson, and results that are asked for every 1 ms."""

import asyncio
import sys

import measured
import uvloop
from taskiq.api import run_receiver_task
from taskiq.serializers import ORJSONSerializer
from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker


class Taskiq:
    def __init__(self, url: str) -> None:
        kept = {"result_ex_time": 24 * 3600, "serializer": ORJSONSerializer()}
        results = RedisAsyncResultBackend(redis_url=url, **kept)
        broker = RedisStreamBroker(url=url, consumer_id="0").with_result_backend(results)
        self.broker = broker.with_serializer(ORJSONSerializer())

        @self.broker.task
        async def noop() -> None:
            measured.ran()

        @self.broker.task
        async def held(number: int) -> None:
            await measured.held(number)

        self.noop, self.held = noop, held

    async def open(self) -> None:
        await self.broker.startup()

    async def round_trip(self) -> None:
        task = await self.noop.kiq()
        await task.wait_result(check_interval=0.001)

    async def submit(self, count: int) -> None:
        await asyncio.gather(*(self.noop.kiq() for _ in range(count)))

    async def submit_held(self, number: int) -> None:
        await self.held.kiq(number)

    async def work(self, jobs: int | None) -> None:
        await run_receiver_task(self.broker, run_startup=True, max_async_tasks=jobs or 100)


asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
measured.run(Taskiq(sys.argv[2]))
