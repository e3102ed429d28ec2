"""What a daemon says of files for all hosts of its queue, and hosts that say different things."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from redis.asyncio import Redis

from spacedock._stores.payloads import LARGE, Payloads
from spacedock._stores.store import IDENTITY, published
from spacedock._wire import keys, wire
from spacedock.client import Client
from spacedock.configuration import ConfigError
from spacedock.files import payload_of
from spacedock.hosts import Host
from spacedockd.notify import Notifier
from spacedockd.publishing import publish
from spacedockd.settings import DaemonSettings, load

Settings = Callable[..., DaemonSettings]
BIG = payload_of("big.bin", b"x" * LARGE)


@pytest.fixture
def share(tmp_path: Path) -> Path:
    folder = tmp_path / "share"
    folder.mkdir()
    return folder


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A host's settings; `name` tells hosts apart."""

    def made(name: str = "host", **fields: object) -> DaemonSettings:
        folders = {"state_dir": tmp_path / name, "runtime_dir": tmp_path / name / "run"}
        return load(None, {**folders, **fields}, {"HOME": str(tmp_path)}, 1000)

    return made


async def say(url: str, settings: DaemonSettings) -> None:
    await asyncio.wait_for(publish(url, settings, Notifier({}, 1), asyncio.sleep), 60)


async def lives(redis: Redis, host_id: str) -> None:
    await redis.zadd(keys.HOSTS, {host_id: time.time()})
    await redis.set(keys.HOST + host_id, wire.encode(Host(id=host_id, name="hal")), ex=60)


async def test_a_daemon_with_its_own_valkey_keeps_large_files_beside_it(
    redis: Redis, redis_url: str, client: Client, settings: Settings
) -> None:
    mine = settings()
    await say(redis_url, mine)
    told = await published(redis)
    assert told is not None
    assert (told.url, told.own) == (mine.own_files.as_uri(), True)
    assert mine.own_files.stat().st_mode & 0o777 == 0o700
    await client.store([BIG])
    assert (mine.own_files / BIG.ref.place[:2] / BIG.ref.place).stat().st_mode & 0o777 == 0o600
    await say(redis_url, mine)
    assert await published(redis) == told
    assert await client.fetch(BIG.ref) == BIG.data


async def test_an_emptied_server_takes_its_own_folder_over_again(
    redis: Redis, redis_url: str, settings: Settings
) -> None:
    await say(redis_url, settings())
    before = await published(redis)
    await redis.flushall()
    await say(redis_url, settings())
    assert await published(redis) == before


async def test_a_host_that_says_nothing_takes_what_the_queue_has(
    redis: Redis, redis_url: str, settings: Settings, share: Path
) -> None:
    await say(redis_url, settings("plain", redis_url=redis_url))
    assert await published(redis) is None
    await say(redis_url, settings("one", redis_url=redis_url, files=share.as_uri()))
    told = await published(redis)
    assert told is not None
    assert told.url == share.as_uri()
    await say(redis_url, settings("two", redis_url=redis_url))
    assert await published(redis) == told


async def test_hosts_that_say_different_things_do_not_start(
    redis: Redis, redis_url: str, settings: Settings, share: Path, tmp_path: Path
) -> None:
    await say(redis_url, settings("one", redis_url=redis_url, files=share.as_uri()))
    told = await published(redis)
    await lives(redis, "the-id-of-one")
    other = tmp_path / "other"
    other.mkdir()
    for files in (other.as_uri(), "redis"):
        with pytest.raises(ConfigError, match=r"other hosts \(hal\) say file:///.*share"):
            await say(redis_url, settings("two", redis_url=redis_url, files=files))
    assert await published(redis) == told
    # The same share at another path is the same share.
    link = tmp_path / "link"
    link.symlink_to(share)
    await say(redis_url, settings("two", redis_url=redis_url, files=link.as_uri()))
    # And once the others are gone it may be changed.
    await redis.delete(keys.HOST + "the-id-of-one")
    await say(redis_url, settings("two", redis_url=redis_url, files="redis"))
    assert await published(redis) is None


async def test_hosts_that_start_at_once_make_one_store(
    redis: Redis, redis_url: str, settings: Settings, share: Path
) -> None:
    hosts = [settings(f"host{n}", redis_url=redis_url, files=share.as_uri()) for n in range(5)]
    await asyncio.gather(*(say(redis_url, one) for one in hosts))
    told = await published(redis)
    assert told is not None
    assert (share / IDENTITY).read_text() == told.identity
    await Payloads(redis).upload([BIG])
    await asyncio.gather(*(say(redis_url, one) for one in hosts))
    assert await Payloads(redis).read(BIG.ref.place) == BIG.data


async def test_another_queues_store_is_refused(
    redis: Redis, redis_url: str, settings: Settings, share: Path
) -> None:
    await say(redis_url, settings("one", redis_url=redis_url, files=share.as_uri()))
    await redis.flushall()
    with pytest.raises(ConfigError, match=f"another queue's store.*remove the file {IDENTITY} there"):
        await say(redis_url, settings("two", redis_url=redis_url, files=share.as_uri()))
    (share / IDENTITY).unlink()
    await say(redis_url, settings("two", redis_url=redis_url, files=share.as_uri()))


def unmount(share: Path) -> None:
    """Leave the empty folder that a share is mounted on."""
    share.rename(share.with_suffix(".unmounted"))
    share.mkdir()


def mount(share: Path) -> None:
    """Bring the share back; what was written beneath it is in the way."""
    share.rmdir()
    share.with_suffix(".unmounted").rename(share)


async def test_a_daemon_waits_for_its_share(
    redis: Redis, redis_url: str, settings: Settings, share: Path
) -> None:
    mine = settings("one", redis_url=redis_url, files=share.as_uri())
    looks, go = asyncio.Event(), asyncio.Event()
    await say(redis_url, mine)
    await Payloads(redis).upload([BIG])
    unmount(share)

    async def wait(seconds: float) -> None:
        looks.set()
        await go.wait()

    starting = asyncio.create_task(publish(redis_url, mine, Notifier({}, 1), wait))
    async with asyncio.timeout(60):
        await looks.wait()
        mount(share)
        go.set()
        await starting
    assert await Payloads(redis).read(BIG.ref.place) == BIG.data


@pytest.mark.parametrize("files", ["/mnt/share", "s3://key:secret@h/b", "ftp://h"])
def test_an_address_that_is_none_is_refused_with_its_key(settings: Settings, files: str) -> None:
    with pytest.raises(ConfigError, match="files") as refused:
        settings(files=files)
    assert "secret" not in str(refused.value)
