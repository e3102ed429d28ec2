"""The life of files in Redis: once by content, without end while a job needs them, a day after the last."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis
from tests.integration.queue.workers import Held, succeeded, working

from spacedock._stores.payloads import Payloads
from spacedock._wire import keys
from spacedock._wire.connection import answer
from spacedock._wire.retention import DAY_S, UPLOAD_GRACE_S
from spacedock.client import Client
from spacedock.errors import BadRequestError, WireError
from spacedock.files import Payload, payload_of
from spacedock.request import JobRequest
from spacedock.result import JobResult, Output
from spacedock.states import JobState
from spacedock_worker.queue.progress import Emit
from spacedock_worker.queue.runner import TakenJob

NO_END = -1


@pytest.fixture
async def stored(client: Client) -> Payload:
    """A file that waits for its jobs."""
    payload = payload_of("a.txt", b"the same file")
    await client.store([payload])
    return payload


def with_file(payload: Payload, count: int = 1) -> list[JobRequest]:
    """Requests that need that file, each under a name of its own."""
    refs = [payload.ref.model_copy(update={"name": f"{number}.txt"}) for number in range(count)]
    return [JobRequest(prompt=f"prompt {ref.name}", files=(ref,)) for ref in refs]


async def test_a_file_of_many_jobs_is_stored_once(client: Client, redis: Redis, stored: Payload) -> None:
    await client.submit_many(with_file(stored, 100))
    files = [key async for key in redis.scan_iter(keys.payload("*"))]
    assert files == [keys.payload(stored.ref.sha256).encode()]


async def test_a_file_lives_while_an_unfinished_job_needs_it_and_a_day_after(
    client: Client, redis_url: str, redis: Redis, stored: Payload
) -> None:
    held, key = Held(), keys.payload(stored.ref.sha256)
    assert 0 < await redis.ttl(key) <= UPLOAD_GRACE_S
    ids = await client.submit_many(with_file(stored, 2))
    assert await redis.ttl(key) == NO_END
    await client.cancel(ids[0])
    assert await redis.ttl(key) == NO_END
    async with working(redis_url, held):
        held.go.set()
        await client.result(ids[1], wait=60)
    assert DAY_S - 60 < await redis.ttl(key) <= DAY_S


async def test_a_file_uploaded_again_gets_no_end_while_a_job_needs_it(
    client: Client, redis: Redis, stored: Payload
) -> None:
    await client.submit_many(with_file(stored))
    await client.store([stored])
    assert await redis.ttl(keys.payload(stored.ref.sha256)) == NO_END


async def test_a_file_of_a_job_whose_request_was_spoilt_is_let_go(
    client: Client, redis_url: str, redis: Redis, stored: Payload
) -> None:
    (job_id,) = await client.submit_many(with_file(stored))
    await redis.hset(keys.job(job_id), "request", "rubbish")
    async with working(redis_url):
        await client.result(job_id, wait=60)
    assert await redis.ttl(keys.payload(stored.ref.sha256)) > UPLOAD_GRACE_S


async def test_a_file_of_a_result_is_kept_as_long_as_the_result(
    client: Client, redis_url: str, redis: Redis
) -> None:
    picture = payload_of("a.png", b"a picture")

    async def handle(job: TakenJob, tell: Emit) -> JobResult:
        await Payloads(redis).upload([picture])
        return succeeded(job).model_copy(update={"output": Output(files=(picture.ref,))})

    async with working(redis_url, handle):
        result = await client.run("draw", wait=60)
    assert await client.fetch(result.output.files[0].sha256) == b"a picture"
    assert await redis.ttl(keys.payload(picture.ref.sha256)) >= await redis.ttl(keys.job(result.id)) - 1


async def test_a_job_whose_file_is_gone_is_refused_and_the_others_are_submitted(
    client: Client, redis: Redis, stored: Payload
) -> None:
    gone = payload_of("b.txt", b"never stored")
    with pytest.raises(BadRequestError, match="1 of 601"):
        await client.submit_many([*with_file(gone), *with_file(stored, 600)])
    assert await redis.zcard(keys.QUEUE) == 600


async def test_a_file_that_is_kept_no_longer_is_told_as_such(client: Client) -> None:
    with pytest.raises(WireError, match="kept no longer"):
        await client.fetch("0" * 64)


async def test_a_file_that_is_over_the_limit_is_refused_before_it_is_sent(
    client: Client, redis_url: str, redis: Redis, tmp_path
) -> None:
    large = tmp_path / "large.bin"
    with large.open("wb") as file:
        file.truncate(65 * 2**20)
    with pytest.raises(BadRequestError, match="over the limit"):
        await client.submit("prompt", files=[large])
    assert await redis.dbsize() == 0


async def test_a_cancelled_job_lets_its_file_go(client: Client, redis: Redis, stored: Payload) -> None:
    (job_id,) = await client.submit_many(with_file(stored))
    assert await client.cancel(job_id) is JobState.CANCELLED
    assert await redis.ttl(keys.payload(stored.ref.sha256)) > UPLOAD_GRACE_S


async def test_a_file_that_somebody_overwrote_is_not_read(
    client: Client, redis: Redis, stored: Payload
) -> None:
    place = stored.ref.sha256
    assert await Payloads(redis).read(place, size=stored.ref.size) == stored.data
    for other in (b"", b"the evil file", b"the same file and more"):
        await redis.set(keys.payload(place), other)
        with pytest.raises(WireError, match="was overwritten in Redis"):
            await client.fetch(stored.ref)
    await redis.delete(keys.payload(place))
    await answer(redis.rpush(keys.payload(place), stored.data))
    with pytest.raises(WireError, match="was overwritten in Redis"):
        await client.fetch(stored.ref)


async def test_a_size_is_not_its_senders_word(client: Client, redis: Redis, stored: Payload) -> None:
    lying = stored.ref.model_copy(update={"size": 1})
    with pytest.raises(WireError, match="does not match its digest and size"):
        await client.fetch(lying)
    with pytest.raises(WireError, match="does not match its digest and size"):
        await Payloads(redis).read(stored.ref.place, most=4)


async def test_an_empty_file_is_a_file(client: Client) -> None:
    empty = payload_of("empty.txt", b"")
    await client.store([empty])
    assert await client.fetch(empty.ref) == b""
