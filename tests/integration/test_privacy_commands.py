"""The commands in privacy mode: what is handed over is deleted, and what is not is still there."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis
from tests.commands import BIN, run_command
from tests.integration.queue.dumping import dump
from tests.integration.queue.workers import echo, until, working

from spacedock._stores.payloads import Payloads
from spacedock._wire import keys
from spacedock._wire.connection import connect
from spacedock._wire.jobs import DELETED
from spacedock.client import Client
from spacedock.files import payload_of, set_apart
from spacedock.result import JobResult, Output
from spacedock_worker.queue.progress import Emit
from spacedock_worker.queue.runner import Handler, TakenJob

MARKER = "tell-nobody"
SECRET = MARKER.encode()
RUN_SECONDS = 280.0


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with connect(redis_url) as redis:
        yield redis


@pytest.fixture
def painter(redis: Redis) -> Handler:
    """Answers with a file that quotes the prompt."""

    async def handle(job: TakenJob, tell: Emit) -> JobResult:
        files = set_apart([payload_of("out.txt", job.request.prompt.encode())], job.id)
        await Payloads(redis).upload(files)
        output = Output(text=job.request.prompt, files=tuple(file.ref for file in files))
        return (await echo(job, tell)).model_copy(update={"output": output})

    return handle


class Shell:
    """Runs `spacedock` with a state directory of its own."""

    def __init__(self, url: str, folder: Path) -> None:
        self.folder = folder
        clean = {key: value for key, value in os.environ.items() if not key.startswith("SPACEDOCK_")}
        self._env = {**clean, "SPACEDOCK_REDIS_URL": url, "XDG_STATE_HOME": str(folder / "state")}

    async def start(self, *arguments: str) -> Process:
        return await asyncio.create_subprocess_exec(
            BIN / "spacedock", *arguments, cwd=self.folder, env=self._env, stdout=PIPE, stderr=PIPE
        )

    async def run(self, *arguments: str) -> tuple[int, str, str]:
        return await asyncio.to_thread(run_command, arguments, self._env, "", RUN_SECONDS, self.folder)


@pytest.fixture
def shell(redis_url: str, tmp_path: Path) -> Shell:
    return Shell(redis_url, tmp_path)


async def test_an_answer_that_was_printed_is_deleted(shell: Shell, redis_url: str, redis: Redis) -> None:
    async with working(redis_url):
        code, out, _ = await shell.run("run", "--privacy-mode", "--json", MARKER)
        answer = json.loads(out)
        assert (code, answer["output"]["text"], answer["privacy"]) == (0, MARKER, True)
        assert SECRET not in await dump(redis)
        assert await shell.run("status", answer["id"]) == (0, f"succeeded: {DELETED}\n", "")
        code, _, err = await shell.run("result", answer["id"])
        assert code == 2
        assert DELETED in err


async def test_an_answer_is_kept_where_that_is_wanted(shell: Shell, redis_url: str) -> None:
    async with working(redis_url):
        _, out, _ = await shell.run("run", "--privacy", "--keep", "--json", MARKER)
        job_id = json.loads(out)["id"]
        for keep in (["--keep"], []):
            _, out, _ = await shell.run("result", "--json", job_id, *keep)
            assert json.loads(out)["output"]["text"] == MARKER
        assert (await shell.run("result", job_id))[0] == 2


async def test_files_that_were_not_saved_wait_for_it(
    shell: Shell, redis_url: str, redis: Redis, painter: Handler
) -> None:
    async with working(redis_url, painter):
        _, out, err = await shell.run("run", "--privacy", "--json", MARKER)
        job_id = json.loads(out)["id"]
        assert f"spacedock result {job_id} -d DIR" in err
        code, _, _ = await shell.run("result", job_id, "-d", "saved")
    assert code == 0
    assert await asyncio.to_thread((shell.folder / "saved/out.txt").read_text) == MARKER
    assert SECRET not in await dump(redis)


async def test_a_batch_deletes_each_line_that_it_has_written(
    shell: Shell, redis_url: str, redis: Redis, painter: Handler
) -> None:
    diary = shell.folder / "diary.txt"
    await asyncio.to_thread(diary.write_text, MARKER)
    lines = [{"prompt": f"{MARKER} {n}", "files": [str(diary)]} for n in range(3)]
    await _write(shell, lines)
    batch = ("batch", "prompts.jsonl", "-o", "out.jsonl", "-d", "saved", "--privacy")
    async with working(redis_url, painter):
        code, _, err = await shell.run(*batch)
        assert code == 0, err
        assert SECRET not in await dump(redis)
        code, _, err = await shell.run(*batch)
    assert "3 of 3 lines were answered before" in err
    assert sorted(row["line"] for row in await _rows(shell)) == [1, 2, 3]
    assert len(list((shell.folder / "saved").rglob("out.txt"))) == 3


async def test_a_batch_is_picked_up_also_where_somebody_else_has_read_a_line(
    shell: Shell, client_of_all: Client, redis_url: str, redis: Redis
) -> None:
    await _write(shell, [{"prompt": f"{MARKER} {n}"} for n in range(3)])
    batch = ("batch", "prompts.jsonl", "-o", "out.jsonl", "--privacy")
    # One that has died since: the batch is handed over without waiting for a worker.
    await redis.set(keys.worker("gone"), "1", ex=60)
    watching = await shell.start(*batch)

    async def submitted() -> bool:
        return await redis.zcard(keys.QUEUE) == 3

    await until(submitted)
    watching.send_signal(signal.SIGINT)
    await watching.communicate()
    first = (await redis.zrange(keys.QUEUE, 0, 0))[0].decode()
    async with working(redis_url):
        await client_of_all.result(first)
        code, _, err = await shell.run(*batch)
        assert code == 1
        assert "line 1: somebody else read" in err
        assert len(await _rows(shell)) == 2
        code, _, err = await shell.run(*batch)
        assert code == 0, err
    assert sorted(row["line"] for row in await _rows(shell)) == [1, 2, 3]
    assert SECRET not in await dump(redis)


@pytest.fixture
async def client_of_all(redis_url: str) -> AsyncIterator[Client]:
    async with Client(redis_url) as client:
        yield client


async def _write(shell: Shell, lines: list[dict[str, object]]) -> None:
    text = "".join(json.dumps(line) + "\n" for line in lines)
    await asyncio.to_thread((shell.folder / "prompts.jsonl").write_text, text)


async def _rows(shell: Shell) -> list[dict[str, object]]:
    text = await asyncio.to_thread((shell.folder / "out.jsonl").read_text)
    return [json.loads(line) for line in text.splitlines()]
