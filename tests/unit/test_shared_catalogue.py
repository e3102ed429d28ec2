"""One registry for all hosts: each host's file over a catalogue in Redis, which strangers may write to."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.registries import declared, host

from spacedock._wire import keys
from spacedock._wire.connection import answer, connect
from spacedock.errors import BadRequestError, SpaceNotFoundError
from spacedock_worker.registry.entry import Verdict
from spacedock_worker.registry.following import follow
from spacedock_worker.registry.host_file import default_text
from spacedock_worker.registry.record import MAX_RECORD_BYTES, MAX_RECORDS, by_digest
from spacedock_worker.registry.registry import Registry

WORKS = Verdict(works=True, reason="it answers", at=datetime(2026, 1, 2, tzinfo=UTC), deep=True)
TAR = b"a tar"
DIGEST = hashlib.sha256(TAR).hexdigest()
SECONDS = 60.0


async def put(registry: Registry, name: str, tar: bytes | None = None, **fields: Any) -> None:
    await registry.settle(name, lambda before: {**_fields(before), **fields}, tar)


def _fields(entry: Any) -> dict[str, Any]:
    return entry.model_dump(mode="json", exclude_unset=True) if entry is not None else {}


async def written(url: str, name: str, raw: bytes | str | dict[str, Any]) -> None:
    """Write into the catalogue as whoever has Redis's password can."""
    if isinstance(raw, dict):
        raw = json.dumps({"v": 1, "fields": raw})
    async with connect(url) as redis:
        await answer(redis.hset(keys.CATALOGUE, name, raw))  # type: ignore[arg-type]
        await redis.set(keys.CATALOGUE_VERSION, hashlib.sha256(name.encode()).hexdigest())


@asynccontextmanager
async def following(registry: Registry, url: str) -> AsyncIterator[None]:
    async with connect(url) as redis:
        task = asyncio.create_task(follow(registry, redis))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def tar_of(registry: Registry, name: str) -> Path:
    return Path(registry.last.spaces[name].repository or "")


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS):
        while not true():  # noqa: ASYNC110 - a file and a snapshot offer nothing to wait on
            await asyncio.sleep(0.01)


@pytest.fixture
async def one(tmp_path: Path, redis_url: str) -> AsyncIterator[Registry]:
    async with host(tmp_path / "one", redis_url) as registry:
        yield registry


@pytest.fixture
async def other(tmp_path: Path, redis_url: str) -> AsyncIterator[Registry]:
    async with host(tmp_path / "other", redis_url) as registry:
        yield registry


async def test_what_one_host_adds_another_knows_at_once(
    one: Registry, other: Registry, redis_url: str
) -> None:
    async with following(other, redis_url):
        await put(one, "mood", docker_image="m:1", memory="1GB")
        await until(lambda: "mood" in other.last.spaces)
        assert other.last.spaces["mood"] == one.last.spaces["mood"]
        await put(one, "mood", docker_image="m:2")
        await until(lambda: other.last.spaces["mood"].docker_image == "m:2")
        await one.remove("mood")
        await until(lambda: "mood" not in other.last.spaces)


async def test_a_hosts_own_file_goes_first_field_by_field(one: Registry, other: Registry) -> None:
    await put(one, "mood", docker_image="m:1", memory="1GB", endpoint="/a", description="Tells")
    declared(other.path, {"mood": {"memory": "2GB", "endpoint": "/b"}})
    entry = (await other.caught_up()).get("mood")
    assert (entry.docker_image, entry.endpoint, entry.description) == ("m:1", "/b", "Tells")
    assert entry.memory == 2 * 2**30


async def test_a_host_that_names_the_code_takes_none_from_the_catalogue(
    one: Registry, other: Registry
) -> None:
    await put(one, "mood", docker_image="m:1", command=["evil"], env={"A": "b"}, endpoint="/a")
    declared(other.path, {"mood": {"hub_id": "ann/mood"}})
    entry = (await other.caught_up()).get("mood")
    assert (entry.hub_id, entry.docker_image, entry.command, entry.env) == ("ann/mood", None, None, {})
    assert entry.endpoint == "/a"


@pytest.mark.parametrize("own", [{"secrets": ["TOKEN"]}, {"auth": {"username": "a", "password": "b"}}])
async def test_a_space_with_secrets_hears_nothing_but_words(
    one: Registry, other: Registry, own: dict[str, Any]
) -> None:
    fields = {"endpoint": "/leak", "port": 1, "operation": {"path": "/x"}, "description": "Tells"}
    await put(one, "mood", docker_image="m:1", **fields)
    declared(other.path, {"mood": {"docker_image": "mine:1", **own}})
    entry = (await other.caught_up()).get("mood")
    assert (entry.docker_image, entry.endpoint, entry.port, entry.operation) == ("mine:1", None, 7860, None)
    assert entry.description == "Tells"


async def test_no_code_of_the_catalogue_gets_a_hosts_secrets(one: Registry, other: Registry) -> None:
    await put(one, "mood", docker_image="m:1")
    declared(other.path, {"mood": {"secrets": ["TOKEN"]}})
    with pytest.raises(BadRequestError, match="it has secrets or a login, so name its code here too"):
        (await other.caught_up()).get("mood")


async def test_an_entry_of_the_file_with_a_fault_keeps_its_name(one: Registry, other: Registry) -> None:
    await put(one, "mood", docker_image="m:1")
    declared(other.path, {"mood": {"netwrk": False}})
    assert "mood" not in (await other.caught_up()).spaces


async def test_the_first_registry_is_nobodys_word(one: Registry, other: Registry) -> None:
    one.path.write_text(default_text())
    other.path.write_text(default_text())
    name = "John6666/test_clip"
    await put(one, name, memory="3GB")
    await one.judge("sentiment-analysis", WORKS)
    snapshot = await other.caught_up()
    assert snapshot.get(name).memory == 3 * 2**30
    assert snapshot.get("sentiment-analysis").verified == WORKS
    await one.remove(name)
    assert name not in (await other.caught_up()).spaces


async def test_a_verdict_on_what_one_host_declares_makes_no_space_of_another(
    one: Registry, other: Registry
) -> None:
    declared(one.path, {"mine": {"docker_image": "m:1"}})
    await one.judge("mine", WORKS)
    assert one.last.spaces["mine"].verified == WORKS
    assert (await other.caught_up()).spaces == {}
    with pytest.raises(SpaceNotFoundError):
        await other.judge("nobody", WORKS)


async def test_a_repository_travels_and_is_verified(one: Registry, other: Registry, redis_url: str) -> None:
    await put(one, "mood", TAR, repository=by_digest(DIGEST))
    await other.caught_up()
    path = tar_of(other, "mood")
    assert path == other.path.parent / "repositories" / f"{DIGEST}.tar"
    assert path.read_bytes() == TAR
    path.unlink()
    async with connect(redis_url) as redis:
        await answer(redis.hset(keys.CATALOGUE_REPOSITORIES, "mood", b"evil"))  # type: ignore[arg-type]
    await written(redis_url, "other", {"docker_image": "o:1"})
    with pytest.raises(BadRequestError, match="does not match its digest"):
        (await other.caught_up()).get("mood")
    assert "other" in other.last.spaces
    async with connect(redis_url) as redis:
        await answer(redis.hset(keys.CATALOGUE_REPOSITORIES, "mood", TAR))  # type: ignore[arg-type]
    assert "mood" in (await other.caught_up(retry=True)).spaces


async def test_a_host_may_name_the_digest_of_the_code_that_it_runs(one: Registry, other: Registry) -> None:
    await put(one, "mood", TAR, repository=by_digest(DIGEST), memory="1GB")
    declared(other.path, {"mood": {"repository": by_digest(DIGEST)}})
    await other.caught_up()
    await put(one, "mood", b"other", repository=by_digest(hashlib.sha256(b"other").hexdigest()))
    entry = (await other.caught_up()).get("mood")
    assert (tar_of(other, "mood").read_bytes(), entry.memory) == (TAR, 2**30)


async def test_a_repository_goes_with_its_space(one: Registry, redis_url: str) -> None:
    await put(one, "mood", TAR, repository=by_digest(DIGEST))
    await put(one, "mood", memory="1GB")
    async with connect(redis_url) as redis:
        assert await answer(redis.hlen(keys.CATALOGUE_REPOSITORIES)) == 1
        await one.remove("mood")
        assert await answer(redis.hlen(keys.CATALOGUE_REPOSITORIES)) == 0


@pytest.mark.parametrize(
    "raw",
    [
        b"rubbish",
        b"\x80\x04N.",
        b'{"v": 9}',
        b'{"v": 1, "fields": {"docker_image": "m:1", "colour": "blue"}}',
        b'{"v": 1, "fields": ' + b"[" * 60_000,
        b'{"v": 1, "fields": {"docker_image": "' + b"m" * MAX_RECORD_BYTES + b'"}}',
        {"docker_image": "m:1", "secrets": ["TOKEN"]},
        {"docker_image": "m:1", "auth": {"username": "a", "password": "b"}},
        {"docker_image": "m:1", "gpu": "auto"},
        {"docker_image": "m:1", "runtime": "runc"},
        {"docker_image": "m:1", "writable_root": True},
        {"repository": "/etc"},
        {"repository": "sha256:0"},
        {"docker_image": "m:1", "id": "x"},
    ],
    ids=lambda raw: str(raw)[:40],
)
async def test_rubbish_in_redis_is_left_out_and_nothing_else(
    one: Registry, redis_url: str, raw: bytes | dict[str, Any]
) -> None:
    await put(one, "good", docker_image="m:1")
    await written(redis_url, "bad", raw)
    snapshot = await one.caught_up()
    assert "good" in snapshot.spaces
    entry = snapshot.spaces.get("bad")
    assert entry is None or entry.id == "bad"
    await put(one, "more", docker_image="m:1")
    await one.remove("good")
    assert "more" in one.last.spaces


async def test_more_entries_than_there_may_be_are_not_read_and_none_is_added(
    one: Registry, redis_url: str
) -> None:
    raw = '{"v": 1, "fields": {"docker_image": "m:1"}}'
    async with connect(redis_url) as redis:
        await answer(redis.hset(keys.CATALOGUE, mapping={f"s{n}": raw for n in range(MAX_RECORDS + 5)}))
    await written(redis_url, "last", {"docker_image": "m:1"})
    snapshot = await one.caught_up()
    assert len(snapshot.spaces) == MAX_RECORDS
    assert "6 entries are too large, or over 20,000" in snapshot.warnings[0]
    with pytest.raises(BadRequestError, match="which is its limit"):
        await put(one, "more", docker_image="m:1")


@pytest.mark.parametrize("name", ["./mood@0123", "a b", "x" * 300, "\x1b[2J", "é"])
async def test_a_name_that_is_none_is_left_out(one: Registry, redis_url: str, name: str) -> None:
    await written(redis_url, name, {"docker_image": "m:1"})
    snapshot = await one.caught_up()
    assert (snapshot.spaces, len(snapshot.warnings)) == ({}, 1)


@pytest.mark.parametrize("key", [keys.CATALOGUE, keys.CATALOGUE_VERSION])
async def test_a_catalogue_of_another_type_is_told_and_hides_nothing(
    one: Registry, redis_url: str, key: str
) -> None:
    declared(one.path, {"own": {"docker_image": "m:1"}})
    await put(one, "good", docker_image="m:1")
    async with connect(redis_url) as redis:
        await redis.delete(keys.CATALOGUE, keys.CATALOGUE_VERSION)
        await answer(redis.sadd(key, "rubbish"))
        snapshot = await one.caught_up()
        assert set(snapshot.spaces) == {"own", "good"}
        assert "overwritten in Redis" in snapshot.warnings[-1]
        if key == keys.CATALOGUE:
            with pytest.raises(BadRequestError, match="cannot be kept"):
                await put(one, "more", docker_image="m:1")
        await redis.delete(key)
        assert set((await one.caught_up()).spaces) == {"own", "good"}
        assert one.last.warnings == ()


async def test_a_change_is_heard_after_the_connection_broke(
    one: Registry, other: Registry, redis_url: str
) -> None:
    async with following(other, redis_url), connect(redis_url) as redis:
        await put(one, "first", docker_image="m:1")
        await until(lambda: "first" in other.last.spaces)
        await redis.client_kill_filter(_type="pubsub")
        await put(one, "second", docker_image="m:1")
        await until(lambda: "second" in other.last.spaces)


async def test_two_hosts_that_add_at_once_lose_nothing(one: Registry, other: Registry) -> None:
    await asyncio.gather(
        *(put(one, f"one-{n}", docker_image="m:1") for n in range(10)),
        *(put(other, f"other-{n}", docker_image="m:1") for n in range(10)),
        *(
            put(registry, "both", env={str(n): "x"}, docker_image="m:1")
            for n, registry in enumerate((one, other))
        ),
    )
    assert len((await one.caught_up()).spaces) == 21
    assert (await other.caught_up()).spaces == one.last.spaces


async def test_who_else_had_the_space_is_told_before_its_new_code_is_known(
    one: Registry, other: Registry
) -> None:
    heard = []

    async def recoded(names: set[str]) -> None:
        heard.append((names, other.last.spaces["mood"].docker_image if "mood" in other.last.spaces else None))

    other.recoded = one.recoded = recoded
    await put(one, "mood", docker_image="m:1")
    await other.caught_up()
    await put(one, "mood", memory="1GB")
    await other.caught_up()
    assert heard == []
    await put(one, "mood", docker_image="m:2")
    await other.caught_up()
    await one.remove("mood")
    await other.caught_up()
    assert heard == [({"mood"}, "m:1"), ({"mood"}, "m:2")]


async def test_the_host_that_changes_a_space_itself_is_not_told_of_it(one: Registry, redis_url: str) -> None:
    heard: list[set[str]] = []

    async def recoded(names: set[str]) -> None:
        heard.append(names)

    one.recoded = recoded
    async with following(one, redis_url):
        for number in range(20):
            await put(one, "mood", docker_image=f"m:{number}")
        path = one.path.with_name("catalogue.yaml")
        await until(lambda: path.exists() and "m:19" in path.read_text())
    assert heard == []


async def test_what_changed_while_a_host_was_away_is_told_at_its_next_start(
    one: Registry, other: Registry, redis_url: str
) -> None:
    await put(one, "mood", docker_image="m:1")
    await other.caught_up()
    other.write_out()
    await put(one, "mood", docker_image="m:2")
    heard: list[set[str]] = []

    async def recoded(names: set[str]) -> None:
        heard.append(names)

    async with connect(redis_url) as redis:
        again = Registry(other.path, store=type(other._store)(redis), recoded=recoded)  # type: ignore[misc]
        await again.caught_up()
    assert heard == [{"mood"}]


async def test_a_discovered_space_stands_in_for_no_other_until_somebody_lists_it(
    one: Registry, other: Registry
) -> None:
    await put(one, "ears", docker_image="m:1", category="audio")
    found = await one.discover("eve/ears", {"hub_id": "eve/ears", "category": "audio"})
    snapshot = await other.caught_up()
    assert found.discovered
    assert snapshot.alternates(snapshot.get("ears")) == ()
    await other.judge("eve/ears", WORKS.model_copy(update={"works": False}))
    assert not other.last.may_stand_in(other.last.get("eve/ears"))
    await other.judge("eve/ears", WORKS)
    assert other.last.may_stand_in(other.last.get("eve/ears"))
    await one.discover("eve/more", {"hub_id": "eve/more", "category": "audio"})
    await put(one, "eve/more", description="Mine now")
    assert one.last.may_stand_in(one.last.get("eve/more"))


async def test_what_is_there_is_not_replaced_by_what_is_found(one: Registry, other: Registry) -> None:
    await put(one, "ann/listen", hub_id="ann/listen", endpoint="/hear")
    entry = await other.discover("ann/listen", {"hub_id": "ann/listen"})
    assert (entry.endpoint, entry.discovered) == ("/hear", False)


async def test_the_catalogue_is_written_out_and_again_when_it_is_removed(
    one: Registry, redis_url: str
) -> None:
    path = one.path.with_name("catalogue.yaml")
    async with following(one, redis_url):
        await put(one, "mood", docker_image="m:1", description="größe: \x85 #1")
        await until(path.exists)
    written_out = Registry(one.path)
    assert written_out.snapshot().spaces == one.last.spaces
    text = path.read_text()
    path.unlink()
    one.write_out()
    assert path.read_text() == text
    # What a person carries to another host.
    carried = one.path.parent / "there" / "registry.yaml"
    carried.parent.mkdir()
    carried.write_text(text)
    assert Registry(carried).snapshot().spaces == one.last.spaces


async def test_a_wiped_redis_is_filled_again_by_what_a_host_had_written_out(
    one: Registry, other: Registry, redis_url: str
) -> None:
    await put(one, "mood", TAR, repository=by_digest(DIGEST), memory="1GB")
    await one.discover("eve/ears", {"hub_id": "eve/ears"})
    before = one.last.spaces
    async with connect(redis_url) as redis:
        await redis.flushall()
        assert (await one.caught_up()).spaces == before
        one.write_out()
        await redis.flushall()
    (other.path.parent / "catalogue.yaml").unlink(missing_ok=True)
    async with host(one.path.parent, redis_url) as restarted:
        assert restarted.last.spaces == before
    await other.caught_up()
    assert tar_of(other, "mood").read_bytes() == TAR


@pytest.mark.parametrize("text", [b"spaces: {mood: [", b"spaces: {mood: {description: '\xff'}}"])
async def test_what_cannot_be_read_is_kept_beside_what_is_written_out(
    one: Registry, redis_url: str, text: bytes
) -> None:
    path = one.path.with_name("catalogue.yaml")
    path.write_bytes(text)
    async with host(one.path.parent, redis_url) as again:
        await put(again, "mood", docker_image="m:1")
        again.write_out()
    assert "m:1" in path.read_text()
    assert path.with_name("catalogue.yaml.unreadable").read_bytes() == text


async def test_what_a_host_had_written_out_replaces_nothing(one: Registry, other: Registry) -> None:
    await put(one, "mood", docker_image="m:1")
    one.write_out()
    await put(other, "mood", docker_image="m:2")
    await put(other, "more", docker_image="m:1")
    await other.remove("more")
    async with connect_again(one) as restarted:
        assert restarted.last.get("mood").docker_image == "m:2"
        assert "more" not in restarted.last.spaces


@asynccontextmanager
async def connect_again(registry: Registry) -> AsyncIterator[Registry]:
    """The same host, started anew."""
    store = registry._store
    assert store is not None
    again = Registry(registry.path, store=store)
    await again.caught_up()
    yield again
