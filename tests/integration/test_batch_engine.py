"""Batches by the command: retried, stopped, killed at any moment, handed over and fetched elsewhere."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from tests.integration.queue.workers import until, working
from tests.integration.test_privacy_commands import Shell

from spacedock._wire.rpc import Call, OnProgress, Op, Reply
from spacedock.client import Client
from spacedock.request import Tier
from spacedock.result import Attempt, AttemptError, ErrorKind, JobResult, Output, Stage
from spacedock.states import JobState
from spacedock.sync import SyncClient
from spacedock_worker.queue.progress import Emit
from spacedock_worker.queue.runner import TakenJob

BATCH = ("batch", "prompts.txt", "-o", "out.jsonl")


class App:
    """Answers with the prompt; fails at what says "broken" until it is mended; counts what it is asked."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.mended = False

    async def __call__(self, job: TakenJob, tell: Emit) -> JobResult:
        prompt = job.request.prompt
        self.asked[prompt] += 1
        if "broken" in prompt and not self.mended:
            kind = ErrorKind.TIMEOUT if "slow" in prompt else ErrorKind.APP_ERROR
            error = AttemptError(kind=kind, message="cannot read it")
            attempt = Attempt(tier=Tier.HEAVY, name="mood", stage=Stage.CALL, error=error)
            return JobResult(id=job.id, state=JobState.FAILED, attempts=(attempt,), labels=job.request.labels)
        output = Output(text=prompt)
        return JobResult(id=job.id, state=JobState.SUCCEEDED, output=output, labels=job.request.labels)


@pytest.fixture
def shell(redis_url: str, tmp_path: Path) -> Shell:
    return Shell(redis_url, tmp_path)


def write(shell: Shell, lines: list[str], name: str = "prompts.txt") -> None:
    (shell.folder / name).write_text("".join(f"{line}\n" for line in lines))


def rows(shell: Shell, name: str = "out.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (shell.folder / name).read_text().splitlines()]


async def test_five_broken_lines_of_a_thousand_are_mended_and_retried_by_one_command(
    shell: Shell, redis_url: str
) -> None:
    lines = [f"line {n}" if n % 200 else f"broken {n}" for n in range(1, 1001)]
    app = App()
    write(shell, lines)
    async with working(redis_url, app):
        code, _, err = await shell.run(*BATCH)
        assert code == 1
        again = " ".join(["spacedock", *BATCH, "--retry", "failed"])
        assert err.endswith(f"5 failed: to try them again: {again}\n")
        app.mended = True
        code, _, err = await shell.run(*again.split()[1:])
    assert (code, "995 of 1,000 lines were answered before" in err) == (0, True), err
    assert sorted(row["line"] for row in rows(shell)) == list(range(1, 1001))
    assert all(row["state"] == "succeeded" for row in rows(shell))
    assert Counter(app.asked.values()) == {1: 995, 2: 5}


async def test_only_failures_of_the_named_kinds_are_retried(shell: Shell, redis_url: str) -> None:
    app = App()
    write(shell, ["fine", "broken", "broken and slow"])
    async with working(redis_url, app):
        await shell.run(*BATCH)
        await shell.run(*BATCH, "--retry-if", "timeout,crashed")
        code, _, err = await shell.run(*BATCH, "--retry-if", "tired")
    assert app.asked == {"fine": 1, "broken": 1, "broken and slow": 2}
    assert (code, "--retry-if tired: no such kind of error" in err) == (2, True)


async def test_all_lines_are_asked_again_and_their_results_replaced(shell: Shell, redis_url: str) -> None:
    app = App()
    write(shell, ["a", "b"])
    async with working(redis_url, app):
        for more in ((), ("--retry", "all"), ("--retry", "all")):
            assert (await shell.run(*BATCH, *more))[0] == 0
    assert (app.asked, len(rows(shell))) == ({"a": 3, "b": 3}, 2)


async def test_a_limited_batch_goes_on_with_the_next_lines(shell: Shell, redis_url: str) -> None:
    app = App()
    write(shell, [f"line {n}" for n in range(10)])
    async with working(redis_url, app):
        code, _, err = await shell.run(*BATCH, "--limit", "4")
        assert (code, len(rows(shell))) == (0, 4)
        assert "ended at --limit 4: the same command sends the next lines" in err
        await shell.run(*BATCH, "--limit", "4")
        await shell.run(*BATCH)
    assert sorted(row["line"] for row in rows(shell)) == list(range(1, 11))
    assert set(app.asked.values()) == {1}


async def test_a_batch_stops_at_too_many_failures(shell: Shell, redis_url: str) -> None:
    app = App()
    write(shell, [f"broken {n}" for n in range(500)])
    async with working(redis_url, app, max_jobs=1):
        code, _, err = await shell.run(*BATCH, "--max-failures", "3", "--in-flight", "8")
        assert (code, "stopped: 3 lines failed" in err) == (1, True), err
        # Each of the first two failures made room for one more line among the eight in flight.
        assert len(rows(shell)) <= (3 - 1) + 8
        app.mended = True
        code, _, err = await shell.run(*BATCH, "--retry", "failed")
    assert code == 0, err
    assert sorted(row["line"] for row in rows(shell)) == list(range(1, 501))


async def test_invalid_lines_are_left_out_and_kept_in_a_file_of_their_own(
    shell: Shell, redis_url: str
) -> None:
    given = ['{"prompt": "a", "id": "x"}', '{"promt": "b"}', '{"prompt": "c", "id": "x"}']
    write(shell, given, "in.jsonl")
    batch = ("batch", "in.jsonl", "-o", "out.jsonl")
    async with working(redis_url, App()):
        code, _, err = await shell.run(*batch)
        assert (code, "line 3: its id 'x' is also that of line 1" in err) == (2, True)
        code, _, err = await shell.run(*batch, "--skip-invalid")
    assert (code, "2 lines were left out as invalid: see out.errors.jsonl" in err) == (1, True)
    assert [row["line"] for row in rows(shell)] == [1]
    assert [row["line"] for row in rows(shell, "out.errors.jsonl")] == [2, 3]


async def test_a_table_of_results_is_picked_up_as_lines_are(shell: Shell, redis_url: str) -> None:
    app = App()
    write(shell, ["a", "broken", "c"])
    async with working(redis_url, app):
        batch = ("batch", "prompts.txt", "-o", "out.csv")
        assert (await shell.run(*batch, "--limit", "2"))[0] == 1
        app.mended = True
        assert (await shell.run(*batch, "--retry", "failed"))[0] == 0
    table = (shell.folder / "out.csv").read_text().splitlines()
    assert table[0].startswith("line,id,file,prompt,state,answer,")
    assert sorted(line.split(",")[0] for line in table[1:]) == ["1", "2", "3"]
    assert app.asked == {"a": 1, "broken": 2, "c": 1}


async def test_a_batch_that_was_handed_over_is_fetched_from_another_machine(
    shell: Shell, redis_url: str, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    another = Shell(redis_url, tmp_path / "elsewhere")
    write(shell, [f'{{"prompt": "line {n}", "id": "row{n}"}}' for n in range(30)], "in.jsonl")
    code, batch, err = await shell.run("batch", "in.jsonl", "--detach")
    assert code == 0, err
    assert f"spacedock results {batch.strip()} -o FILE" in err
    async with working(redis_url, App()):
        assert (await another.run("wait", batch.strip()))[0] == 0
        assert (await another.run("results", batch.strip(), "-o", "got.jsonl"))[0] == 0
        code, _, err = await another.run("results", batch.strip(), "-o", "got.jsonl")
        assert (code, "got.jsonl exists" in err) == (2, True)
        assert (await another.run("results", batch.strip(), "-o", "got.csv"))[0] == 0
    assert len((another.folder / "got.csv").read_text().splitlines()) == 31
    got = rows(another, "got.jsonl")
    assert [(row["line"], row["row_id"]) for row in got] == [(n + 1, f"row{n}") for n in range(30)]
    assert got[3]["output"]["text"] == "line 3"


async def registry(call: Call, redis: Redis, tell: OnProgress) -> Reply:
    """A registry without a Space."""
    nothing = {"task": "", "category": "", "spaces": [], "advice": None}
    return Reply(data=nothing if call.op is Op.RECOMMEND else {})


async def test_requests_of_openais_api_come_back_as_its_lines(shell: Shell, redis_url: str) -> None:
    url = "/v1/chat/completions"
    given = [
        {
            "custom_id": f"request-{n}",
            "method": "POST",
            "url": url,
            "body": {"model": "auto", "messages": [{"role": "user", "content": text}]},
        }
        for n, text in enumerate(["hello", "broken", "bye"], 1)
    ]
    write(shell, [json.dumps(line) for line in given], "in.jsonl")
    app = App()
    batch = ("batch", "in.jsonl", "-o", "out.jsonl", "--format", "openai")
    async with working(redis_url, app, registry):
        code, _, err = await shell.run(*batch)
        assert code == 1, err
        assert [row["custom_id"] for row in rows(shell)] == ["request-1", "request-3"]
        assert [row["custom_id"] for row in rows(shell, "out.errors.jsonl")] == ["request-2"]
        app.mended = True
        code, _, err = await shell.run(*batch, "--retry", "failed")
    assert code == 0, err
    assert not (shell.folder / "out.errors.jsonl").exists()
    answers = [row["response"]["body"]["choices"][0]["message"]["content"] for row in rows(shell)]
    assert answers == ["hello", "broken", "bye"]
    assert all(row["response"]["body"]["spacedock"]["attempts"] == [] for row in rows(shell))


async def test_an_answer_that_openais_line_cannot_hold_is_told_as_an_error(
    shell: Shell, redis_url: str
) -> None:
    async def with_a_space(call: Call, redis: Redis, tell: OnProgress) -> Reply:
        if call.op is Op.PLAN:
            return Reply(data={"misfits": [], "route": None, "steps": [], "warnings": []})
        reply = await registry(call, redis, tell)
        return Reply(spaces={"wordy": {}}) if call.op in (Op.LIST, Op.SHOW) else reply

    body = {"model": "wordy", "input": "hello"}
    line = {"custom_id": "one", "method": "POST", "url": "/v1/embeddings", "body": body}
    write(shell, [json.dumps(line)], "in.jsonl")
    async with working(redis_url, App(), with_a_space):
        code, _, err = await shell.run("batch", "in.jsonl", "-o", "out.jsonl", "--format", "openai")
    assert (code, "errors: out.errors.jsonl has 1 line" in err) == (1, True), err
    [row] = rows(shell, "out.errors.jsonl")
    assert row["response"]["body"]["error"]["code"] == "wrong_answer"


async def test_results_cannot_be_openais_lines_where_the_requests_are_not(
    shell: Shell, redis_url: str
) -> None:
    write(shell, ["a"])
    code, _, err = await shell.run(*BATCH, "--format", "openai")
    assert (code, "prompts.txt has no requests of OpenAI's API" in err) == (2, True)


LINES, ROUNDS, ALL_ROUNDS = 2000, 5, 50
"""Rounds of kills: those in every run, and those with --all-versions."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" in metafunc.fixturenames:
        many = metafunc.config.getoption("--all-versions")
        metafunc.parametrize("seed", range(ALL_ROUNDS if many else ROUNDS))


async def test_a_batch_whose_client_is_killed_at_any_moment_has_each_line_once(
    shell: Shell, redis_url: str, seed: int
) -> None:
    app = App()
    write(shell, [f"line {n}" for n in range(LINES)])
    # So many bytes of results are there when the client is killed; the first moment is before any.
    moment = random.Random(seed).randrange(LINES * 600) if seed else 0
    out = shell.folder / "out.jsonl"
    async with working(redis_url, app, max_jobs=50), asyncio.timeout(280):
        client = await shell.start(*BATCH)

        async def come() -> bool:
            # inotify is not in the standard library, so look.
            return client.returncode is not None or (out.exists() and out.stat().st_size >= moment)

        await until(come, 240)
        if client.returncode is None:
            client.kill()
        await client.communicate()
        code, _, err = await shell.run(*BATCH)
    assert code == 0, err
    assert sorted(row["line"] for row in rows(shell)) == list(range(1, LINES + 1))
    assert len({row["id"] for row in rows(shell)}) == LINES
    assert set(app.asked.values()) == {1}


async def test_a_program_runs_a_batch_and_goes_on_after_it_was_left(
    redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, out = App(), tmp_path / "out.jsonl"
    given = [{"prompt": f"line {n}", "id": f"r{n}"} for n in range(20)]
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    async with working(redis_url, app), Client(redis_url) as client:
        async with aclosing(client.batch(given, output=out, in_flight=4)) as lines:
            first = await anext(lines)
        assert first.name.row_id == f"r{first.name.number - 1}"
        found = [line async for line in client.batch(given, output=out)]
        assert 0 < len(found) < 20
        assert [line async for line in client.batch(given, output=out)] == []
        texts = await asyncio.to_thread(_blocking, redis_url)
    assert texts == {"a", "b"}
    numbers = [json.loads(line)["line"] for line in out.read_text().splitlines()]
    assert sorted(numbers) == list(range(1, 21))
    assert set(app.asked.values()) == {1}


def _blocking(url: str) -> set[str | None]:
    with SyncClient(url) as client:
        return {line.result.output.text for line in client.batch(["a", "b"])}
