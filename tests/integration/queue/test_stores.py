"""Where large files are: a folder, a share, or a bucket of a real S3 server; one suite for all."""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest
from redis.asyncio import Redis
from tests.buckets import KEY, SECRET, BucketServer
from tests.integration.queue.workers import succeeded, take, working

from spacedock._stores import bucket, folder, payloads
from spacedock._stores.payloads import LARGE, Payloads, opened
from spacedock._stores.store import IDENTITY, Store, check_url
from spacedock._wire import keys, wire
from spacedock._wire.connection import answer
from spacedock.client import Client
from spacedock.errors import BadRequestError, StoreAwayError, StoreFullError, WireError
from spacedock.files import payload_of
from spacedock.request import JobRequest
from spacedock.result import JobResult, Output
from spacedock.states import JobState
from spacedock_worker.queue import patience
from spacedock_worker.queue.job_store import JobStore
from spacedock_worker.queue.patience import through_outages
from spacedock_worker.queue.progress import Emit
from spacedock_worker.queue.runner import TakenJob
from spacedock_worker.queue.sweep import has_turn, sweep_files, sweep_store

IDENTITY_OF_OURS = "the-store-of-this-test"
BIG = payload_of("big.bin", os.urandom(3 * 2**20 + 17))
SMALL = payload_of("small.txt", b"small")


class Place(Protocol):
    """What a store of the suite can be made to do."""

    url: str

    def away(self) -> None: ...
    def back(self) -> None: ...
    def file(self, place: str) -> Path: ...


class Folder:
    """A folder that can be unmounted."""

    def __init__(self, root: Path) -> None:
        self.root, self.url = root, root.as_uri()
        root.mkdir(mode=0o750)

    def away(self) -> None:
        self.root.rename(self.root.with_suffix(".unmounted"))
        self.root.mkdir()

    def back(self) -> None:
        self.root.rmdir()
        self.root.with_suffix(".unmounted").rename(self.root)

    def file(self, place: str) -> Path:
        return self.root / place[:2] / place


class Bucket:
    """A bucket whose server can be stopped."""

    def __init__(self, server: BucketServer) -> None:
        self._server, self.url = server, server.url
        self.away, self.back = server.stop, server.start

    def file(self, place: str) -> Path:
        return self._server.objects / "queue/one" / place


@pytest.fixture
def bucket_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[BucketServer]:
    pytest.importorskip("obstore", reason="the extra `s3` is not installed")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    server = BucketServer(tmp_path / "server")
    server.start()
    yield server
    server.resume()
    server.stop()


@pytest.fixture(params=["folder", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "folder":
        return Folder(tmp_path / "share")
    return Bucket(request.getfixturevalue("bucket_server"))


@pytest.fixture
async def store(place: Place) -> Store:
    """The store, made."""
    store = opened(place.url)
    assert await store.identity() is None
    await store.make(IDENTITY_OF_OURS)
    return store


@pytest.fixture
async def published(store: Store, redis: Redis) -> Redis:
    """A queue whose daemons have named the store."""
    await say(redis, store.url)
    return redis


async def say(redis: Redis, url: str, own: str = "") -> None:
    told = {"files": url, "store": IDENTITY_OF_OURS, "own": own}
    await answer(redis.hset(keys.SETTINGS, mapping=told))


async def content(store: Store, place: str) -> bytes:
    return b"".join([chunk async for chunk in store.get(place)])


async def names(store: Store, seconds: float = 0.0) -> set[str]:
    return {place async for page in store.older(seconds) for place, _ in page}


async def test_what_is_put_is_there_until_it_is_deleted(store: Store) -> None:
    assert await store.identity() == IDENTITY_OF_OURS
    await store.put(BIG.ref.place, BIG.data)
    assert await content(store, BIG.ref.place) == BIG.data
    listed = [one async for page in store.older(0) for one in page]
    assert listed == [(BIG.ref.place, BIG.ref.size)]
    assert await names(store, 3600) == set()
    for _ in range(2):
        await store.delete(BIG.ref.place)
    with pytest.raises(FileNotFoundError):
        await content(store, BIG.ref.place)
    assert await names(store) == set()


async def test_many_may_put_the_same_content_at_once(store: Store, place: Place) -> None:
    # Another host has a store of its own in its own process: no lock between the two is possible.
    kinds: dict[str, Callable[[str], Store]] = {
        "file": lambda url: folder.FolderStore(url, Path(url.removeprefix("file://"))),
        "s3": bucket.BucketStore,
    }
    other = kinds[place.url.partition(":")[0]](place.url)
    await asyncio.gather(*(one.put(BIG.ref.place, BIG.data) for one in (store, other) for _ in range(4)))
    assert await content(other, BIG.ref.place) == BIG.data
    assert await names(store) == {BIG.ref.place}


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/etc/passwd", IDENTITY, "", "a" * 63, "A" * 64, f"{'a' * 64}/x"]
)
async def test_no_name_leads_anywhere_else(store: Store, name: str) -> None:
    for using in (store.put(name, b"x"), content(store, name), store.delete(name)):
        with pytest.raises(FileNotFoundError):
            await using
    assert await store.identity() == IDENTITY_OF_OURS


async def test_a_store_that_is_away_says_so_and_comes_back(store: Store, place: Place) -> None:
    await store.put(BIG.ref.place, BIG.data)
    place.away()
    for using in (store.put(SMALL.ref.place, b"x"), content(store, BIG.ref.place), names(store)):
        with pytest.raises(StoreAwayError, match=r"store of files at .* cannot be used: .*See that"):
            await using
    place.back()
    assert await content(store, BIG.ref.place) == BIG.data
    assert await names(store) == {BIG.ref.place}


async def test_it_is_told_where_files_are(published: Redis, place: Place) -> None:
    there = await Payloads(published).status()
    assert (there["at"], there["why"]) == (place.url, None)
    assert there["free"] is None if place.url.startswith("s3") else there["free"] > 0
    place.away()
    away = await Payloads(published).status()
    assert (away["at"], away["free"]) == (place.url, None)
    assert away["why"]
    place.back()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("s3://key:secret@bucket/x", "password"),
        ("s3://bucket/x?access_key_id=x", "unknown option"),
        ("s3:///x", "is not where files can be"),
        ("file://other/share", "is not where files can be"),
        ("file:///", "is not where files can be"),
        ("file:///a/../etc", "is not where files can be"),
        ("/mnt/share", "is not where files can be"),
        ("ftp://h/x", "is not where files can be"),
        ("s3://[x", "cannot be read"),
    ],
)
def test_an_address_that_is_none_is_refused(url: str, says: str) -> None:
    with pytest.raises(BadRequestError, match=says) as refused:
        check_url(url)
    assert "secret" not in str(refused.value)


async def test_a_job_with_large_files_takes_them_from_the_store(
    published: Redis, client: Client, redis_url: str, place: Place, store: Store
) -> None:
    made = payload_of("out.bin", BIG.data[::-1])

    async def handle(job: TakenJob, tell: Emit) -> JobResult:
        files = Payloads(published)
        read = [await files.read(ref.place, size=ref.size) for ref in job.request.files]
        assert read == [BIG.data, SMALL.data]
        await files.keep([made])
        return succeeded(job).model_copy(update={"output": Output(files=(made.ref,))})

    async with working(redis_url, handle), asyncio.timeout(60):
        request = JobRequest(prompt="x", files=(BIG.ref, SMALL.ref), keep_for="7d")
        result = await client.result(await client.submit_prepared(request, [BIG, SMALL]))
    assert await client.fetch(result.output.files[0]) == made.data
    assert await client.fetch(BIG.ref.sha256) == BIG.data
    assert await names(store) == {BIG.ref.place, made.ref.place}
    assert await published.type(keys.payload(SMALL.ref.place)) == b"string"
    for file in (BIG, made):
        key = keys.payload(file.ref.place)
        assert await published.type(key) == b"hash"
        assert await published.memory_usage(key) < 1000
        assert 7 * 86_400 - 60 < await published.ttl(key) <= 7 * 86_400
    assert place.file(BIG.ref.place).stat().st_size == BIG.ref.size


async def test_a_file_that_is_there_is_not_sent_again(published: Redis, client: Client, place: Place) -> None:
    await client.store([BIG])
    before = place.file(BIG.ref.place).stat().st_mtime_ns
    await client.store([BIG, BIG])
    assert place.file(BIG.ref.place).stat().st_mtime_ns == before


async def test_private_files_stay_in_redis(
    published: Redis, client: Client, store: Store, tmp_path: Path
) -> None:
    (tmp_path / "in.bin").write_bytes(BIG.data)
    await client.submit("x", files=[tmp_path / "in.bin"], privacy=True)
    assert await names(store) == set()


async def test_what_no_job_needs_any_more_is_tidied_up(
    published: Redis, client: Client, store: Store
) -> None:
    files = [payload_of(f"{n}.bin", os.urandom(LARGE)) for n in range(4)]
    expired, needed, coming, ended = files
    for file in (expired, needed, ended):
        await client.store([file])
    await client.submit_many([JobRequest(prompt="waits", files=(needed.ref,))])
    await published.delete(keys.payload(expired.ref.place))
    # Half way there, from a client that was killed.
    await Payloads(published)._lacking([coming], {coming.ref.place})
    await store.put(coming.ref.place, coming.data)
    tidy = Payloads(published)

    assert (await sweep_store(tidy, dry_run=True)).count == 0
    async with clock_ahead(store):
        counted = await sweep_store(tidy, dry_run=True)
        assert (counted.count, counted.bytes) == (1, LARGE)
        assert await names(store) == {file.ref.place for file in files}
        assert await sweep_store(tidy, dry_run=False) == counted
        assert await names(store) == {needed.ref.place, coming.ref.place, ended.ref.place}
        await published.delete(keys.payload(coming.ref.place))
        assert (await sweep_store(tidy, dry_run=False)).count == 1
    assert [await has_turn(published) for _ in range(3)] == [True, False, False]
    assert not await published.exists(keys.payload(expired.ref.place))
    assert await Payloads(published).read(needed.ref.place) == needed.data


class clock_ahead:
    """Let all that lies in the store look an hour older: its server's clock is not ours."""

    def __init__(self, store: Store) -> None:
        self._store, self._older = store, store.older

    async def __aenter__(self) -> None:
        def older(seconds: float) -> AsyncIterator[list[tuple[str, int]]]:
            return self._older(seconds - 3600)

        self._store.older = older  # type: ignore[method-assign]

    async def __aexit__(self, *_: object) -> None:
        del self._store.older


async def test_a_file_that_is_being_deleted_is_put_again(
    published: Redis, client: Client, store: Store
) -> None:
    key = keys.payload(BIG.ref.place)
    await answer(published.hset(key, mapping={"state": "gone"}))
    storing = asyncio.create_task(client.store([BIG]))
    await asyncio.sleep(0)
    await published.delete(key)
    await asyncio.wait_for(storing, 60)
    assert await client.fetch(BIG.ref) == BIG.data
    assert await names(store) == {BIG.ref.place}


async def test_two_clients_and_a_cleanup_at_once_lose_no_file(
    published: Redis, redis_url: str, store: Store
) -> None:
    files = [payload_of(f"{n}.bin", bytes([n]) * LARGE) for n in range(5)]
    stop = asyncio.Event()

    async def tidy() -> None:
        while not stop.is_set():
            await sweep_store(Payloads(published), dry_run=False)

    async def use(client: Client) -> None:
        for _ in range(5):
            for file in files:
                await client.store([file])
                assert await client.fetch(file.ref) == file.data
                await published.delete(keys.payload(file.ref.place))
                await client.store([file])
                assert await client.fetch(file.ref) == file.data

    async with Client(redis_url) as one, asyncio.timeout(120), clock_ahead(store):
        tidying = asyncio.create_task(tidy())
        await use(one)
        stop.set()
        await tidying


async def test_a_file_that_was_changed_in_the_store_is_told(
    published: Redis, client: Client, store: Store
) -> None:
    await client.store([BIG])
    for other in (BIG.data[:-1] + b"x", BIG.data[:-1], BIG.data * 30):
        await store.put(BIG.ref.place, other)
        with pytest.raises(WireError, match="was overwritten in Redis or in the store"):
            await client.fetch(BIG.ref)
    await store.delete(BIG.ref.place)
    with pytest.raises(WireError, match="somebody removed it there"):
        await client.fetch(BIG.ref)


async def test_a_job_waits_while_the_store_is_away(
    published: Redis, client: Client, redis_url: str, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """First in the worker's hands, then back in the queue; it never fails."""
    monkeypatch.setattr(patience, "STORE_SECONDS", 0.2)
    tried = asyncio.Queue[str]()

    async def handle(job: TakenJob, tell: Emit) -> JobResult:
        tried.put_nowait(job.id)
        (ref,) = job.request.files
        data = await through_outages(lambda: Payloads(published).read(ref.place, size=ref.size))
        text = hashlib.sha256(data).hexdigest()
        return succeeded(job).model_copy(update={"output": Output(text=text)})

    job_id = await client.submit_prepared(JobRequest(prompt="x", files=(BIG.ref,)), [BIG])
    place.away()
    async with working(redis_url, handle), asyncio.timeout(120):
        for _ in range(2):
            assert await tried.get() == job_id
        place.back()
        result = await client.result(job_id)
    assert result.output.text == BIG.ref.sha256
    assert result.attempts == ()


async def test_a_client_is_told_that_the_store_is_away(
    published: Redis, client: Client, place: Place
) -> None:
    place.away()
    with pytest.raises(StoreAwayError):
        await client.store([BIG])
    # What needs no store goes on.
    await client.store([SMALL])
    place.back()
    await client.store([BIG])
    assert await client.fetch(BIG.ref) == BIG.data


async def test_a_machine_that_does_not_see_the_share_is_refused(
    published: Redis, redis_url: str, tmp_path: Path
) -> None:
    await say(published, (tmp_path / "nowhere").as_uri())
    async with Client(redis_url) as client:
        with pytest.raises(StoreAwayError, match="SPACEDOCK_FILES"):
            await client.store([BIG])


async def test_a_client_elsewhere_puts_its_files_into_redis_where_the_store_is_the_servers_own(
    redis: Redis, redis_url: str, tmp_path: Path
) -> None:
    await say(redis, (tmp_path / "nowhere").as_uri(), own="1")
    async with Client(redis_url) as client:
        await client.store([BIG])
        assert await redis.type(keys.payload(BIG.ref.place)) == b"string"
        assert await client.fetch(BIG.ref) == BIG.data
        # A result that only the server's machine can see is told, not lost.
        await answer(redis.hset(keys.payload("1" * 64), mapping={"state": "in", "store": IDENTITY_OF_OURS}))
        with pytest.raises(StoreAwayError, match="this machine does not see"):
            await client.fetch("1" * 64)


async def test_this_machine_may_find_the_share_at_another_path(
    published: Redis, redis_url: str, place: Place, tmp_path: Path
) -> None:
    if isinstance(place, Bucket):
        pytest.skip("a bucket has one address")
    other = tmp_path / "other"
    other.symlink_to(tmp_path / "share")
    await say(published, "file:///where/the/daemon/has/it")
    async with Client(redis_url, files=other.as_uri()) as client:
        await client.store([BIG])
        assert await client.fetch(BIG.ref) == BIG.data
    assert place.file(BIG.ref.place).exists()


async def test_files_of_an_earlier_store_are_waited_for(
    published: Redis, client: Client, store: Store, tmp_path: Path
) -> None:
    await client.store([BIG])
    share = Folder(tmp_path / "second")
    await opened(share.url).make("another")
    await answer(published.hset(keys.SETTINGS, mapping={"files": share.url, "store": "another"}))
    with pytest.raises(StoreAwayError, match="an earlier place"):
        await client.fetch(BIG.ref)
    await say(published, store.url)
    assert await client.fetch(BIG.ref) == BIG.data


async def test_a_folder_has_the_rights_of_its_root(tmp_path: Path) -> None:
    root = tmp_path / "share"
    root.mkdir()
    root.chmod(0o2770)
    store = opened(root.as_uri())
    await store.make("x")
    await store.put(BIG.ref.place, BIG.data)
    assert (root / BIG.ref.place[:2]).stat().st_mode & 0o777 == 0o770
    assert (root / BIG.ref.place[:2] / BIG.ref.place).stat().st_mode & 0o7777 == 0o660


async def test_links_and_pipes_in_a_folder_are_no_files(tmp_path: Path) -> None:
    share = Folder(tmp_path / "share")
    store = opened(share.url)
    await store.make("x")
    secret = tmp_path / "secret"
    secret.write_bytes(b"a secret")
    share.file(SMALL.ref.place).symlink_to(secret)
    with pytest.raises(StoreAwayError):
        await content(store, SMALL.ref.place)
    share.file(SMALL.ref.place).unlink()
    os.mkfifo(share.file(SMALL.ref.place))
    with pytest.raises(FileNotFoundError):
        await content(store, SMALL.ref.place)


@pytest.mark.parametrize("name", ["new", "ab"])
async def test_a_link_in_place_of_a_folder_leads_nowhere(tmp_path: Path, name: str) -> None:
    root, others = tmp_path / "files", tmp_path / "others"
    root.mkdir()
    root.chmod(0o777)
    others.mkdir(mode=0o700)
    found = folder.FolderStore("file:///files", root)
    await found.make(IDENTITY_OF_OURS)
    kept = others / ("ab" + "0" * 62)
    kept.write_bytes(b"another's")
    os.utime(kept, (0, 0))
    (root / name).rmdir()
    (root / name).symlink_to(others)
    with pytest.raises(StoreAwayError):
        _ = [page async for page in found.older(0)]
    if name == "ab":
        with pytest.raises(StoreAwayError):
            await found.delete(kept.name)
    with pytest.raises(StoreAwayError):
        await found.put("ab" + "1" * 62, b"ours")
    with pytest.raises(StoreAwayError):
        await found.make(IDENTITY_OF_OURS)
    assert list(others.iterdir()) == [kept]
    assert others.stat().st_mode & 0o777 == 0o700


async def test_the_root_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "files").symlink_to(tmp_path / "real")
    found = folder.FolderStore("file:///files", tmp_path / "files")
    await found.make(IDENTITY_OF_OURS)
    await found.put(BIG.ref.place, BIG.data)
    assert b"".join([chunk async for chunk in found.get(BIG.ref.place)]) == BIG.data


async def test_what_a_crash_left_half_is_removed(tmp_path: Path) -> None:
    share = Folder(tmp_path / "share")
    store = opened(share.url)
    await store.make("x")
    for name, age in (("old", 2 * 86_400), ("new", 60)):
        (share.root / "new" / name).write_bytes(b"half")
        os.utime(share.root / "new" / name, (time.time() - age,) * 2)
    assert await names(store) == set()
    assert [path.name for path in (share.root / "new").iterdir()] == ["new"]


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MB."""
    root = tmp_path / "tiny"
    root.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(root)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small file system cannot be mounted here")
    yield root
    subprocess.run(["umount", "-l", str(root)], check=True)


async def test_submission_is_refused_before_the_store_is_full(
    redis: Redis, client: Client, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await opened(tiny.as_uri()).make(IDENTITY_OF_OURS)
    await say(redis, tiny.as_uri())
    for number in range(5):
        await client.store([payload_of("x", bytes([number]) * 2**20)])
    says = r"is full \(\d MB free, \d MB needed\).*cleanup --older-than"
    with pytest.raises(StoreFullError, match=says) as full:
        await client.store([payload_of("x", b"x" * 3 * 2**20)])
    assert 0 < full.value.free < full.value.needed
    # A result has room still; and where it has none, that is no fault of the job.
    await Payloads(redis).keep([payload_of("x", b"r" * LARGE)])
    monkeypatch.setattr(payloads, "SPARE_BYTES", 0)
    monkeypatch.setattr(patience, "STORE_SECONDS", 0.1)
    with pytest.raises(patience.GiveBackError, match="is full"):
        await through_outages(lambda: Payloads(redis).keep([payload_of("x", b"s" * 2**23)]))
    # A disk that fills up behind our back leaves no half file.
    with pytest.raises(StoreFullError):
        await opened(tiny.as_uri()).put(BIG.ref.place, b"x" * 2**23)
    assert list((tiny / "new").iterdir()) == []


async def test_a_share_that_hangs_is_given_up(tmp_path: Path) -> None:
    store, answers = folder.FolderStore(tmp_path.as_uri(), tmp_path), threading.Event()
    with pytest.raises(StoreAwayError, match="no answer within"):
        await store._call(answers.wait, seconds=0.1)
    answers.set()


async def test_nothing_is_piled_up_for_a_share_that_hangs(tmp_path: Path) -> None:
    store, answers = folder.FolderStore(tmp_path.as_uri(), tmp_path), threading.Event()
    await store.make(IDENTITY_OF_OURS)
    while len(store._hung) < 4:
        with pytest.raises(StoreAwayError, match="no answer within"):
            await store._call(answers.wait, seconds=0.01)
    with pytest.raises(StoreAwayError, match="it hangs"):
        await store.put(BIG.ref.place, BIG.data)
    assert store._threads._work_queue.qsize() == 0
    answers.set()
    store._threads.submit(int).result(10)
    await store.put(BIG.ref.place, BIG.data)


async def test_a_server_that_hangs_is_given_up(
    bucket_server: BucketServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened(bucket_server.url)
    await store.make("x")
    monkeypatch.setattr(bucket, "CALL_SECONDS", 0.3)
    bucket_server.pause()
    with pytest.raises(StoreAwayError, match="no answer in time"):
        await content(store, BIG.ref.place)
    bucket_server.resume()
    monkeypatch.undo()


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("AWS_SECRET_ACCESS_KEY", "wrong", "SignatureDoesNotMatch"),
        ("AWS_ACCESS_KEY_ID", "nobody", "InvalidAccessKeyId"),
    ],
)
async def test_wrong_credentials_are_told_without_them(
    bucket_server: BucketServer, monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(StoreAwayError, match=says) as told:
        await bucket.BucketStore(bucket_server.url).make("x")
    assert SECRET not in str(told.value)


async def test_a_bucket_that_is_not_there_is_told(bucket_server: BucketServer) -> None:
    store = bucket.BucketStore(bucket_server.url.replace("spacedock-files", "no-bucket"))
    assert await store.identity() is None
    with pytest.raises(StoreAwayError, match="NoSuchBucket"):
        await store.make("x")
    with pytest.raises(StoreAwayError, match="bucket"):
        await content(store, BIG.ref.place)


async def test_cleanup_counts_what_it_frees_in_the_store(
    published: Redis, client: Client, store: Store
) -> None:
    await client.store([BIG])
    (job_id,) = await client.submit_many([JobRequest(prompt="x", files=(BIG.ref,))])
    worker = JobStore(published, "worker")
    await take(worker)
    result = JobResult(id=job_id, state=JobState.SUCCEEDED)
    assert await worker.finish(result, wire.encode(result))
    key = keys.payload(BIG.ref.place)
    raw = await published.dump(key)
    await published.restore(key, 1000 * 3600, raw, replace=True, idletime=7200)
    counted = await sweep_files(published, 3600, dry_run=True)
    assert (counted.count, counted.stored) == (0, {BIG.ref.place})
    tidy = Payloads(published)
    async with clock_ahead(store):
        would = await sweep_store(tidy, counted.stored, dry_run=True)
        assert await sweep_files(published, 3600, dry_run=False) == counted
        freed = await sweep_store(tidy, dry_run=False)
    assert would == freed
    assert (freed.count, freed.bytes) == (1, BIG.ref.size)
