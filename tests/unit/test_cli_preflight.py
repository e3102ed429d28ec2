"""What is said and waited for before a job is handed over."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from redis.asyncio import Redis

from spacedock import Client
from spacedock._wire import keys
from spacedock.cli import preflight


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> asyncio.Queue[str]:
    lines: asyncio.Queue[str] = asyncio.Queue()
    monkeypatch.setattr(preflight, "say", lines.put_nowait)
    return lines


async def test_a_worker_that_is_starting_is_waited_for(redis_url: str, said: asyncio.Queue[str]) -> None:
    async with Client(redis_url) as client, Redis.from_url(redis_url) as redis:
        checking = asyncio.create_task(preflight.check(client, set()))
        assert (await said.get()).startswith("no worker is running yet: waiting 15 s for one")
        await redis.set(keys.worker("w"), "1", ex=60)
        await checking
    assert said.empty()


async def test_where_none_comes_up_the_job_waits(
    redis_url: str, said: asyncio.Queue[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "_STARTING_SECONDS", 0.0)
    async with Client(redis_url) as client:
        await preflight.check(client, {"mood"})
    assert "waiting 0 s" in said.get_nowait()
    assert said.get_nowait().startswith("no worker is running: the job waits until one is.")


async def test_who_does_not_wait_for_a_result_does_not_wait_for_a_worker(
    redis_url: str, said: asyncio.Queue[str]
) -> None:
    async with Client(redis_url) as client:
        await preflight.check(client, {"mood"}, wait=False)
    assert said.qsize() == 1


def test_a_name_that_is_a_directory_too_gets_a_hint(
    tmp_path: Path, said: asyncio.Queue[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "spaces/ocr").mkdir(parents=True)
    preflight.say_directories({"spaces/ocr", "spaces/mood", "./spaces/ocr", "ocr"})
    assert said.get_nowait() == (
        "'spaces/ocr' is taken for a Space of the Hub: "
        "for the directory of that name write --space ./spaces/ocr"
    )
    assert said.empty()
