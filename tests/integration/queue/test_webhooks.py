"""Webhooks: who gave an address hears once, signed, of what ended; whatever the receiver or a daemon does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_network
from typing import Any

import openai
import pytest
from redis.asyncio import Redis
from tests.integration.queue.workers import working
from tests.receiver import receiving

from spacedock._wire import keys
from spacedock._wire.view.webhooks import WebhookDelivery
from spacedock.client import Client
from spacedock.errors import BadRequestError
from spacedock.request import JobRequest
from spacedockd.http.settings import WebhookSettings
from spacedockd.webhooks import deliverer, sending
from spacedockd.webhooks.deliverer import Deliverer

LOOPBACK = WebhookSettings(allow=(ip_network("127.0.0.0/8"),), timeout=10)
HASTY = LOOPBACK.model_copy(update={"timeout": 2})


@asynccontextmanager
async def delivering(url: str, settings: WebhookSettings = LOOPBACK) -> AsyncIterator[None]:
    """A daemon's deliverer until the block ends."""
    running = asyncio.create_task(Deliverer(url, settings).run())
    try:
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def once(look: Callable[[], Awaitable[Any]], true: Callable[[Any], bool]) -> Any:
    async with asyncio.timeout(60):
        while True:
            if true(found := await look()):
                return found
            # Nothing tells of a delivery but its record.
            await asyncio.sleep(0.05)


async def only(client: Client, true: Callable[[WebhookDelivery], bool]) -> WebhookDelivery:
    """The only webhook, once that is true of it."""
    found: list[WebhookDelivery] = await once(client.webhooks.list, lambda rows: bool(rows) and true(rows[0]))
    (one,) = found
    return one


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "_WAITS", (0, 0, 3600))
    monkeypatch.setattr(deliverer, "_TURN_SECONDS", 0.02)


async def test_a_job_tells_of_its_end_without_its_prompt(client: Client, redis_url: str) -> None:
    async with receiving() as receiver, delivering(redis_url), working(redis_url):
        job_id = await client.submit("a secret prompt", callback=receiver.url)
        told = await receiver.next(await client.webhooks.secret())
    assert (told["type"], told["data"]) == (
        "job.succeeded",
        {"id": job_id, "state": "succeeded", "labels": {}},
    )
    assert (told["object"], told["timestamp"][-1]) == ("event", "Z")
    assert "secret prompt" not in str(told)
    delivery = await only(client, lambda one: one.state == "delivered")
    assert (delivery.id, delivery.tries, delivery.said, delivery.due) == (told["id"], 1, "HTTP 204", None)


async def test_a_batch_tells_of_its_end_as_the_openai_package_reads_it(
    client: Client, redis_url: str
) -> None:
    async with receiving() as receiver, delivering(redis_url):
        jobs = await client.submit_many([JobRequest(prompt=str(n), batch_id="mine") for n in range(3)])
        await client.webhooks.of_batch("mine", receiver.url)
        async with working(redis_url):
            assert len([result async for result in client.results(jobs)]) == 3
            async with asyncio.timeout(60):
                headers, body = await receiver.came.get()
    with openai.OpenAI(api_key="none", webhook_secret=await client.webhooks.secret()) as reader:
        event = reader.webhooks.unwrap(body, headers)
    assert (event.type, event.data.id) == ("batch.completed", "mine")
    assert event.data.model_dump()["request_counts"] == {"total": 3, "completed": 3, "failed": 0}


async def test_what_ended_while_no_daemon_ran_is_told_later(client: Client, redis_url: str) -> None:
    async with receiving() as receiver:
        job_id = await client.submit("x", callback=receiver.url)
        await client.submit_many([JobRequest(prompt="y", batch_id="late")])
        await client.cancel(job_id)
        await client.cancel_batch("late")
        await client.webhooks.of_batch("late", receiver.url)
        async with delivering(redis_url):
            secret = await client.webhooks.secret()
            told = [await receiver.next(secret), await receiver.next(secret)]
    assert {one["type"] for one in told} == {"job.cancelled", "batch.cancelled"}


async def test_two_daemons_deliver_once(client: Client, redis_url: str) -> None:
    async with receiving() as receiver, delivering(redis_url), delivering(redis_url), working(redis_url):
        jobs = [await client.submit(str(n), callback=receiver.url) for n in range(30)]
        secret = await client.webhooks.secret()
        told = [(await receiver.next(secret))["data"]["id"] for _ in jobs]
        await once(client.webhooks.list, lambda rows: all(one.state == "delivered" for one in rows))
    assert sorted(told) == sorted(jobs)
    assert receiver.came.empty()


async def test_a_receiver_that_fails_is_tried_again_under_one_id(client: Client, redis_url: str) -> None:
    async with receiving(500, None) as receiver, delivering(redis_url, HASTY):
        await client.webhooks.test(receiver.url)
        secret = await client.webhooks.secret()
        told = [await receiver.next(secret) for _ in range(3)]
        delivery = await only(client, lambda one: one.state == "delivered")
    assert {one["id"] for one in told} == {delivery.id}
    assert delivery.tries == 3


async def test_a_redirect_is_not_followed(client: Client, redis_url: str) -> None:
    async with receiving(307, 307, 307) as receiver, delivering(redis_url):
        await client.webhooks.test(receiver.url)
        delivery = await only(client, lambda one: one.tries == 3)
        assert receiver.came.qsize() == 3
    assert (delivery.state, delivery.said) == ("waiting", "HTTP 307: redirects are not followed")
    assert delivery.due is not None
    assert delivery.due - delivery.created > 3000


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0", "169.254.169.254"]
)
async def test_private_addresses_are_refused_however_they_are_named(
    client: Client, redis_url: str, host: str
) -> None:
    async with receiving() as receiver, delivering(redis_url, WebhookSettings(timeout=2)):
        await client.webhooks.test(receiver.url.replace("127.0.0.1", host))
        delivery = await only(client, lambda one: one.state == "failed")
        assert receiver.came.empty()
    assert delivery.said == "its address is private: add its network to webhooks.allow"


async def test_a_webhook_is_sent_again_on_demand(client: Client, redis_url: str) -> None:
    async with receiving(410) as receiver, delivering(redis_url):
        webhook_id = await client.webhooks.test(receiver.url)
        secret = await client.webhooks.secret()
        await receiver.next(secret)
        await only(client, lambda one: one.state == "failed")
        await client.webhooks.redeliver(webhook_id)
        assert (await receiver.next(secret))["id"] == webhook_id
    with pytest.raises(BadRequestError, match="no webhook evt_none"):
        await client.webhooks.redeliver("evt_none")


async def test_a_callback_of_nothing_is_forgotten(
    client: Client, redis: Redis, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliverer, "_FORGET_SECONDS", 0.05)
    await redis.hset(keys.CALLBACKS, mapping={"job:gone": "http://x/", "batch:gone": "http://x/", "?": "y"})
    async with delivering(redis_url):
        await once(lambda: redis.hlen(keys.CALLBACKS), lambda count: not count)


@pytest.mark.parametrize("url", ["ftp://x/y", "https://", "x", "https://ada:secret@host/", "http://a b/"])
async def test_an_address_that_is_none_is_refused_at_once(client: Client, url: str) -> None:
    with pytest.raises(BadRequestError, match="callback"):
        await client.submit("x", callback=url)
