"""What this host's configuration says for the whole queue: kept in Redis, where hosts and clients read it."""

from __future__ import annotations

import uuid

import structlog
from redis.asyncio import Redis

from spacedock._stores.payloads import opened
from spacedock._stores.store import IDENTITY, IN_REDIS, Published, published
from spacedock._wire import keys
from spacedock._wire.connection import answer, connect, told_as_ours
from spacedock.configuration import ConfigError
from spacedock.errors import StoreAwayError
from spacedock.hosts import hosts
from spacedockd import paths
from spacedockd.notify import Notifier
from spacedockd.settings import DaemonSettings
from spacedockd.supervisor import Sleep

log = structlog.get_logger()

PAUSE_SECONDS = 2.0
_FILES = ("files", "store", "own")


async def publish(url: str, settings: DaemonSettings, notify: Notifier, sleep: Sleep) -> None:
    """Make our settings the queue's; waits for a store of files that is away.

    Of retention the last host that starts counts; jobs that have ended keep the time that they got. Where
    files are, all hosts have to agree. Raises ConfigError, NotConnectedError, RefusedError.
    """
    with told_as_ours(url):
        async with connect(url) as redis:
            while True:
                try:
                    return await _publish(redis, settings)
                except StoreAwayError as error:
                    notify.waiting("files.waiting", "the store of files", error.why)
                await sleep(PAUSE_SECONDS)


async def _publish(redis: Redis, settings: DaemonSettings) -> None:
    ours = {name: str(value) for name, value in settings.retention.model_dump().items()}
    before = await answer(redis.hgetall(keys.SETTINGS))
    told = {name.decode(errors="replace"): value.decode(errors="replace") for name, value in before.items()}
    if (mine := await _files(redis, settings)) is not None:
        ours |= dict(zip(_FILES, mine, strict=True))
    await answer(redis.hset(keys.SETTINGS, mapping=ours))
    if changed := {name: told[name] for name in ours if name in told and told[name] != ours[name]}:
        log.warning("settings.changed", before=changed, now={name: ours[name] for name in changed})


async def _files(redis: Redis, settings: DaemonSettings) -> tuple[str, str, str] | None:
    """Where files are by our settings, whose store that is, and whether it is our own folder; None to leave
    that as other hosts have said it."""
    told, own = await published(redis), settings.files is None
    if own and settings.redis_url is not None:
        return None
    if settings.files == IN_REDIS:
        return await _agreed(redis, settings, told, ("", "", ""))
    folder = settings.own_files
    if own:
        paths.make_private(folder.parent)
        paths.make_private(folder)
    url = settings.files or folder.as_uri()
    identity = await _identified(redis, url, told, own=own)
    return await _agreed(redis, settings, told, (url, identity, "1" if own else ""))


async def _identified(redis: Redis, url: str, told: Published | None, *, own: bool) -> str:
    """Whose store that is. One that is nobody's yet becomes ours; our own folder is ours whatever it says.

    Raises ConfigError for another queue's, StoreAwayError for a share that was ours and is not mounted.
    """
    store = opened(url)
    found = await store.identity()
    if found is not None and (own or (told is not None and found == told.identity)):
        return found
    if found is not None:
        raise ConfigError(
            f"files: {url} is another queue's store: give each queue a place of its own. If that queue is no "
            f"more, or its Redis was emptied, remove the file {IDENTITY} there"
        )
    if told is not None and told.url == url and not own:
        raise StoreAwayError(url, f"there is no {IDENTITY} in it, as there was before", "Mount it")
    # Two hosts that start at once give it the same identity.
    await answer(redis.hsetnx(keys.SETTINGS, f"made:{url}", uuid.uuid4().hex))
    (made,) = await answer(redis.hmget(keys.SETTINGS, [f"made:{url}"]))
    identity = str(made, errors="replace")
    await store.make(identity)
    return identity


async def _agreed(
    redis: Redis, settings: DaemonSettings, told: Published | None, mine: tuple[str, str, str]
) -> tuple[str, str, str]:
    """Ours, if no other host says something else. Raises ConfigError."""
    if (told.identity if told else "") == mine[1]:
        return mine
    others = [one for one in await hosts(redis) if one.alive and one.id != settings.containers.instance_id]
    if others:
        theirs = told.url if told else IN_REDIS
        names = ", ".join(one.name or one.id for one in others)
        raise ConfigError(
            f"files: {mine[0] or IN_REDIS} is not where the queue's files are: other hosts ({names}) say "
            f"{theirs}. Say the same here, or leave `files` out; to change it, stop all hosts first"
        )
    return mine
