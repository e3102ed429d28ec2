"""Control calls as a worker answers them, without the queue between."""

from __future__ import annotations

from redis.asyncio import Redis

from spacedock._wire.rpc import Call, OnProgress, Op, Reply
from spacedock_worker.control.dispatcher import Asked, CallHandler, Dispatcher, reply_of
from spacedock_worker.control.registry import RegistryHandler
from spacedock_worker.registry.registry import Registry


def silent(message: str) -> None:
    pass


async def asked(
    handler: CallHandler, call: Call, redis: Redis | None = None, say: OnProgress = silent
) -> Reply:
    """The handler's reply; raises what it raises."""
    return reply_of(await handler(Asked(call, call.read_options(), redis or Redis(), say)))


def registry_calls(registry: Registry) -> Dispatcher:
    """Who answers the calls that only the registry is asked."""
    entries = RegistryHandler(registry)

    async def listed(asked: Asked) -> Reply:
        return await entries.list()

    async def shown(asked: Asked) -> Reply:
        return await entries.show(asked.call.name)

    async def removed(asked: Asked) -> Reply:
        await entries.remove(asked.call.name)
        return Reply()

    table = {Op.LIST: listed, Op.SHOW: shown, Op.REMOVE: removed, Op.ADD: entries.add}
    return Dispatcher(table, registry.fresh)
