"""Answers that are taken again: for the same call of the same image, as long as their files are there."""

from __future__ import annotations

from typing import Any

import pytest
from redis.asyncio import Redis

from spacedock._stores.payloads import Payloads
from spacedock._wire import keys
from spacedock._wire.connection import answer, connect
from spacedock.files import payload_of
from spacedock.request import JobRequest, Tier
from spacedock.result import AnsweredBy, AnswerKind, Output
from spacedock_worker.images.source import Image
from spacedock_worker.jobs.answer_cache import AnswerCache, digest_of
from spacedock_worker.queue.sweep import Swept, sweep_answers
from spacedock_worker.registry.entry import SpaceEntry

ENTRY = SpaceEntry(id="painter", input_type="text", output_type="image")
IMAGE = Image("painter:latest", "sha256:1")
BY = AnsweredBy(tier=Tier.HEAVY, kind=AnswerKind.SPACE, name="painter", endpoint="/paint")
MADE = payload_of("cat.png", b"a cat")


def asked(redis: Redis, prompt: str = "a cat") -> AnswerCache:
    return AnswerCache(redis, Payloads(redis), JobRequest(prompt=prompt, space="painter", cache=True))


async def test_an_answer_is_taken_again_for_the_same_call_of_the_same_image(redis_url: str) -> None:
    async with connect(redis_url) as redis:
        await Payloads(redis).upload([MADE])
        first = asked(redis)
        assert await first.recall(ENTRY, IMAGE) is None
        await first.keep(Output(text="a cat", data=["x"], files=(MADE.ref,)), BY)
        kept = await asked(redis).recall(ENTRY, IMAGE)
        assert kept is not None
        assert kept.by == BY.model_copy(update={"reused": True})
        assert (kept.answer.text, kept.answer.data, kept.answer.files) == ("a cat", ["x"], (MADE,))
        assert await asked(redis, "a dog").recall(ENTRY, IMAGE) is None
        assert await asked(redis).recall(ENTRY, Image("painter:latest", "sha256:2")) is None
        assert await asked(redis).recall(ENTRY.model_copy(update={"inputs": {"size": 2}}), IMAGE) is None


async def test_another_endpoint_or_file_is_another_call(redis_url: str) -> None:
    photo, other = payload_of("photo.png", b"1").ref, payload_of("photo.png", b"2").ref
    request = JobRequest(files=(photo,), endpoint="/read", space="reader", cache=True)
    async with connect(redis_url) as redis:
        first = AnswerCache(redis, Payloads(redis), request)
        await first.recall(ENTRY, IMAGE)
        await first.keep(Output(text="A 1"), BY)
        for change, known in (({}, True), ({"endpoint": "/tell"}, False), ({"files": (other,)}, False)):
            again = AnswerCache(redis, Payloads(redis), request.model_copy(update=change))
            assert (await again.recall(ENTRY, IMAGE) is not None) is known


async def test_an_answer_is_kept_as_long_as_results_are_and_swept_with_them(redis_url: str) -> None:
    async with connect(redis_url) as redis:
        await answer(redis.hset(keys.SETTINGS, "results", "7200"))
        first = asked(redis)
        await first.recall(ENTRY, IMAGE)
        await first.keep(Output(text="a cat"), BY)
        (key,) = [key async for key in redis.scan_iter(match=keys.ANSWER + "*")]
        assert 7190 < await redis.ttl(key) <= 7200
        assert await sweep_answers(redis, 3600, dry_run=False) == Swept()
        await redis.expire(key, 3500)
        assert (await sweep_answers(redis, 3600, dry_run=True)).count == 1
        assert (await sweep_answers(redis, 3600, dry_run=False)).count == 1
        assert await asked(redis).recall(ENTRY, IMAGE) is None


@pytest.mark.parametrize("lost", ["file", "answer"])
async def test_an_answer_that_is_not_whole_is_asked_for_anew(redis_url: str, lost: str) -> None:
    async with connect(redis_url) as redis:
        await Payloads(redis).upload([MADE])
        first = asked(redis)
        await first.recall(ENTRY, IMAGE)
        await first.keep(Output(files=(MADE.ref,)), BY)
        if lost == "file":
            await redis.delete(keys.payload(MADE.ref.place))
        else:
            (key,) = [key async for key in redis.scan_iter(match=keys.ANSWER + "*")]
            await redis.set(key, b"{")
        assert await asked(redis).recall(ENTRY, IMAGE) is None


def digest(**fields: Any) -> str:
    entry = SpaceEntry.model_validate({"id": "painter", **fields})
    return digest_of(entry, IMAGE, JobRequest(prompt="a cat", space="painter"))


@pytest.mark.parametrize(
    "fields",
    [
        {"command": ["python", "other.py"]},
        {"base_path": "/ui"},
        {"port": 8000},
        {"network": False},
        {"secrets": ["KEY"]},
        {"env": {"MODE": "loud"}},
        {"inputs": {"n": 2}},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_a_space_that_runs_otherwise_may_answer_otherwise(fields: dict[str, Any]) -> None:
    assert digest(**fields) != digest()


def test_what_the_registry_says_for_people_makes_no_difference() -> None:
    assert digest(description="Pictures", tags=["a"], memory=2**30) == digest()
