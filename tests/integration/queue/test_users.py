"""The users of docs/redis.md, as the page has them: what each needs works, and nothing else does."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from ipaddress import ip_network
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError, ResponseError
from tests.integration.queue.servers import Server
from tests.integration.queue.workers import ROOT, Held, advancing, succeeded, working
from tests.receiver import receiving

from spacedock._stores.payloads import LARGE, Payloads, opened
from spacedock._wire import keys, wire
from spacedock._wire.connection import answer, connect
from spacedock._wire.rpc import Call, OnProgress, Op, Reply
from spacedock.client import Client
from spacedock.errors import RefusedError
from spacedock.files import payload_of
from spacedock.pipelines.model import Pipeline
from spacedock.request import JobRequest, job_id_of
from spacedock.result import JobResult, Output, Stage
from spacedock.states import JobState
from spacedock_worker.cleanup.report import Report
from spacedock_worker.queue.job_store import check_rights
from spacedock_worker.queue.progress import Emit
from spacedock_worker.queue.runner import TakenJob
from spacedock_worker.queue.sweep import sweep_files, sweep_past, sweep_records, sweep_store
from spacedockd.http.settings import WebhookSettings
from spacedockd.webhooks.deliverer import Deliverer

PAGE = (ROOT / "docs/redis.md").read_text()
RULES = {
    name: [rule for rule in rules.split() if not rule.startswith(">")]
    for name, rules in re.findall(r"^ACL SETUSER (\w+) (on .*)$", PAGE, re.MULTILINE)
}


@pytest.fixture
async def urls(shared_server: Server, redis: Redis) -> AsyncIterator[dict[str, str]]:
    """The address for each of the users; keys of another program are there too."""
    await redis.set("other:secret", "theirs")
    yield {name: shared_server.user(name, *rules) for name, rules in RULES.items()}
    assert await redis.get("other:secret") == b"theirs"


async def painting(job: TakenJob, tell: Emit) -> JobResult:
    tell(Stage.CALL, "painter", "painting", None)
    return succeeded(job)


def test_the_page_has_the_three_kinds_of_users() -> None:
    assert set(RULES) == {"submit", "operate", "read"}


async def test_a_worker_may_do_all_that_it_does(urls: dict[str, str]) -> None:
    async with connect(urls["operate"]) as its:
        await check_rights(its)


@pytest.mark.parametrize("privacy", [False, True])
async def test_a_day_in_the_life_of_the_three(urls: dict[str, str], privacy: bool) -> None:
    held = Held()

    async def handle(job: TakenJob, tell: Emit) -> JobResult:
        tell(Stage.CALL, "painter", "painting", None)
        if job.request.prompt == "long":
            await held(job, tell)
        files = (payload_of("out.txt", job.request.prompt.encode()),)
        async with connect(urls["operate"]) as its:
            await Payloads(its).keep(files)
        output = Output(files=tuple(file.ref for file in files))
        return succeeded(job).model_copy(update={"output": output})

    async with (
        working(urls["operate"], handle, max_jobs=2),
        Client(urls["submit"]) as client,
        Client(urls["read"]) as reader,
        asyncio.timeout(60),
    ):
        file = payload_of("in.txt", b"in")
        request = JobRequest(prompt="with a file", files=(file.ref,), idempotency_key="key")
        job_id = job_id_of(request)
        await client.submit_prepared(request, [file])
        assert [event.name async for event in reader.watch(job_id)] == ["painter", ""]
        assert (await reader.status(job_id)).state is JobState.SUCCEEDED
        result = await reader.result(job_id)
        assert await reader.fetch(result.output.files[0]) == b"with a file"

        long = await client.submit_many(["long", "long"])
        await held.began.get()
        await held.began.get()
        waiting = await client.submit("never")
        for one in (client, reader):
            nobody = "no host works on this queue: start one with `spacedockd`"
            assert (await one.status(waiting)).waits_for == nobody
            (batch,) = await one.batches()
            assert (await one.batch_status(batch.id)).left == len(await one.job_ids(batch.id)) == 2
            assert (await anext(one.events(after=0))).id == 1
        assert await client.cancel(waiting) is JobState.CANCELLED
        await client.cancel(long[0])
        assert (await client.result(long[0])).state is JobState.CANCELLED
        held.go.set()
        assert (await client.result(long[1])).succeeded
        many = await client.submit_many(JobRequest(prompt=str(n), privacy=privacy) for n in range(20))
        assert len([result async for result in client.results(many)]) == 20
        assert await client.workers() == 1
        assert await client.hosts() == await reader.hosts() == []
        assert await client.serving("x") == []
        assert len(await client.jobs()) == len(await reader.jobs()) > 20
        assert await client.forget(many[0]) in (0, 1)


async def test_pipelines_need_no_rights_of_their_own(urls: dict[str, str]) -> None:
    step = {"space": "painter", "prompt": "a cat"}
    pipeline = Pipeline.model_validate(
        {"name": "p", "steps": {"one": step, "secret": {**step, "privacy": True}}}
    )
    async with (
        advancing(urls["operate"], painting),
        Client(urls["submit"]) as client,
        Client(urls["read"]) as reader,
        asyncio.timeout(60),
    ):
        run = await client.submit_pipeline(pipeline)
        assert (await reader.pipeline_run(run)).pipeline == "p"
        assert (await client.result(run)).succeeded
        run = await client.submit_pipeline(pipeline)
        await client.cancel(run)
        assert (await client.result(run)).state in (JobState.CANCELLED, JobState.SUCCEEDED)


async def test_who_operates_calls_workers_and_cleans_up(urls: dict[str, str]) -> None:
    async def sweep(call: Call, its: Redis, tell: OnProgress) -> Reply:
        swept = await sweep_records(its, 0, dry_run=False) + await sweep_files(its, 0, dry_run=False)
        await sweep_past(its, 0)
        report = Report(dry_run=False)
        report.add("results", 0, count=swept.count)
        return Reply(data=report.told(), spaces={call.name or "": {}})

    async with (
        working(urls["operate"], painting, sweep),
        Client(urls["operate"]) as operator,
        asyncio.timeout(60),
    ):
        await operator.run("prompt")
        assert (await operator.cleanup(older_than=0))["kinds"]["results"]["count"] == 1
        assert await operator.spaces.show("mine") == {}


@pytest.mark.parametrize("user", ["submit", "read"])
async def test_who_does_not_operate_changes_nothing_of_spaces_and_hosts(
    urls: dict[str, str], redis: Redis, user: str
) -> None:
    await answer(redis.hset(keys.CATALOGUE, "precious", "{}"))
    async with Client(urls[user]) as client:
        for call in (
            client.cleanup(),
            client.spaces.remove("precious"),
            client.spaces.add("precious", {"docker_image": "evil:1"}, replace=True),
            client.spaces.validate("precious"),
            client.spaces.lock([]),
            client.spaces.logs("precious"),
        ):
            with pytest.raises(RefusedError, match="lacks a right"):
                await call
    async with connect(urls[user]) as raw:
        for command in (
            ["LPUSH", keys.CONTROL, Op.REMOVE],
            ["RPOP", keys.CONTROL],
            ["RPOP", keys.ASK],
            ["BRPOP", keys.ASK, "1"],
            ["LRANGE", keys.ASK, "0", "-1"],
            ["HSET", keys.CATALOGUE, "precious", "evil"],
            ["HDEL", keys.CATALOGUE, "precious"],
            ["DEL", keys.CATALOGUE],
            ["HSET", keys.CATALOGUE_REPOSITORIES, "precious", "evil"],
            ["SET", keys.CATALOGUE_VERSION, "1"],
            ["PUBLISH", keys.CATALOGUE_CHANGED, "1"],
            ["SADD", keys.PAUSED, "host"],
        ):
            with pytest.raises(NoPermissionError):
                await raw.execute_command(*command)
    assert not await redis.exists(keys.CONTROL)
    assert await answer(redis.hgetall(keys.CATALOGUE)) == {b"precious": b"{}"}


@pytest.mark.parametrize("user", ["submit", "read", "operate"])
async def test_everybody_may_ask(urls: dict[str, str], user: str) -> None:
    async def told(call: Call, its: Redis, tell: OnProgress) -> Reply:
        searched = {"here": [], "spaces": [], "cached_at": None, "note": call.op.value}
        planned = {"steps": [], "route": None, "misfits": [], "warnings": [call.op.value]}
        return Reply(data=searched if call.op is Op.SEARCH else planned, spaces={"mine": {}})

    async with working(urls["operate"], painting, told), Client(urls[user]) as client, asyncio.timeout(60):
        assert await client.spaces.show("mine") == {}
        assert (await client.spaces.search("mine"))["note"] == Op.SEARCH
        assert (await client.plan(JobRequest(prompt="prompt")))["warnings"] == [Op.PLAN]
        assert list((await client.spaces.list()).spaces) == ["mine"]


async def test_a_change_that_comes_by_the_list_of_questions_is_refused(urls: dict[str, str]) -> None:
    async def never(call: Call, its: Redis, tell: OnProgress) -> Reply:
        raise AssertionError(call.op)

    call = Call(id="mine", op=Op.REMOVE, name="precious")
    async with working(urls["operate"], painting, never), connect(urls["read"]) as raw, asyncio.timeout(60):
        await answer(raw.lpush(keys.ASK, wire.encode(call)))
        _, reply = await answer(raw.brpop([keys.reply("mine")], timeout=60))
    assert "for users who may operate" in (wire.decode(Reply, reply).error or "")


async def test_who_only_reads_changes_nothing(urls: dict[str, str], redis: Redis, client: Client) -> None:
    job_id = await client.submit("theirs")
    before = {key: await redis.dump(key) for key in await redis.keys("*")}
    async with Client(urls["read"]) as reader:
        for change in (reader.submit("more"), reader.cancel(job_id), reader.forget(job_id)):
            with pytest.raises(RefusedError, match="lacks a right"):
                await change
    async with connect(urls["read"]) as raw:
        for command in (
            ["HSET", keys.job(job_id), "state", "succeeded", "result", "{}"],
            ["HDEL", keys.job(job_id), "request"],
            ["SET", keys.payload("0" * 64), "poison"],
            ["DEL", keys.job(job_id)],
            ["UNLINK", keys.job(job_id)],
            ["EXPIRE", keys.job(job_id), "0"],
            ["RENAME", keys.job(job_id), keys.job("mine")],
            ["COPY", keys.job(job_id), keys.job("mine")],
            ["ZREM", keys.QUEUE, job_id],
            ["PUBLISH", keys.DONE, job_id],
            ["PUBLISH", keys.CANCEL, job_id],
            ["EVAL", "return redis.call('FLUSHALL')", "0"],
            ["SCRIPT", "LOAD", "return 1"],
        ):
            with pytest.raises(NoPermissionError):
                await raw.execute_command(*command)
    assert {key: await redis.dump(key) for key in await redis.keys("*")} == before


@pytest.mark.parametrize("user", ["submit", "operate", "read"])
async def test_none_of_them_reaches_others(urls: dict[str, str], redis: Redis, user: str) -> None:
    before = sorted(await redis.keys("*"))
    async with connect(urls[user]) as raw:
        for command in (
            ["GET", "other:secret"],
            ["SET", "other:secret", "mine"],
            ["DEL", "other:secret"],
            ["COPY", "other:secret", keys.job("mine")],
            ["RENAME", "other:secret", keys.job("mine")],
            ["EVAL", "return redis.call('GET', KEYS[1])", "1", "other:secret"],
            ["SORT", keys.QUEUE, "GET", "other:*"],
            ["DUMP", "other:secret"],
            ["OBJECT", "ENCODING", "other:secret"],
            ["SUBSCRIBE", "other"],
            ["PSUBSCRIBE", "*"],
            ["PUBLISH", "other", "1"],
            ["KEYS", "*"],
            ["FLUSHALL"],
            ["FLUSHDB"],
            ["SWAPDB", "0", "1"],
            ["CONFIG", "GET", "*"],
            ["CONFIG", "SET", "dir", "/tmp"],
            ["ACL", "LIST"],
            ["ACL", "SETUSER", user, "+@all"],
            ["CLIENT", "LIST"],
            ["CLIENT", "KILL", "TYPE", "normal"],
            ["MONITOR"],
            ["SHUTDOWN", "NOSAVE"],
            ["REPLICAOF", "127.0.0.1", "1"],
            ["MODULE", "LIST"],
            ["MIGRATE", "127.0.0.1", "1", keys.QUEUE, "0", "1"],
        ):
            with pytest.raises(NoPermissionError):
                await raw.execute_command(*command)
        for script in (
            "return redis.call('GET', 'other:secret')",
            "return redis.call('DEL', 'other:secret')",
        ):
            with pytest.raises(ResponseError, match=r"can't access|[nN]o permissions"):
                await raw.execute_command("EVAL", script, "0")
    assert sorted(await redis.keys("*")) == before


async def test_the_command_runs_a_named_space_as_a_user_who_only_submits(
    urls: dict[str, str], tmp_path: Path
) -> None:
    async def told(call: Call, its: Redis, tell: OnProgress) -> Reply:
        return Reply(spaces={str(call.name): {}})

    async with working(urls["operate"], painting, told):
        process = await asyncio.create_subprocess_exec(
            *(Path(sys.executable).parent / "spacedock", "run", "hello", "--space", "named"),
            *("--redis", urls["submit"], "--json"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
    assert process.returncode == 0, err
    assert b'"succeeded"' in out


async def test_large_files_go_to_the_store_and_come_from_it(
    urls: dict[str, str], redis: Redis, tmp_path: Path
) -> None:
    await opened(tmp_path.as_uri()).make("ours")
    told = {"files": tmp_path.as_uri(), "store": "ours"}
    await answer(redis.hset(keys.SETTINGS, mapping=told))
    big = payload_of("big.bin", b"x" * LARGE)
    async with Client(urls["submit"]) as client, Client(urls["read"]) as reader:
        await client.submit_prepared(JobRequest(prompt="x", files=(big.ref,)), [big])
        assert await reader.fetch(big.ref) == await client.fetch(big.ref) == big.data
        with pytest.raises(RefusedError, match="lacks a right"):
            await reader.store([payload_of("other.bin", b"y" * LARGE)])
    assert await redis.type(keys.payload(big.ref.place)) == b"hash"
    async with connect(urls["submit"]) as raw:
        with pytest.raises(NoPermissionError):
            await answer(raw.hset(keys.SETTINGS, "files", "file:///tmp/mine"))
    async with connect(urls["operate"]) as its:
        assert await Payloads(its).read(big.ref.place) == big.data
        assert (await sweep_store(Payloads(its), dry_run=False)).count == 0


async def test_who_submits_is_told_by_webhooks_and_reads_no_secret(urls: dict[str, str]) -> None:
    allowed = WebhookSettings(allow=(ip_network("127.0.0.0/8"),))
    async with receiving() as receiver, working(urls["operate"]), Client(urls["operate"]) as operator:
        sending = asyncio.create_task(Deliverer(urls["operate"], allowed).run())
        async with Client(urls["submit"]) as client:
            job_id = await client.submit("x", callback=receiver.url)
            assert (await receiver.next(await operator.webhooks.secret()))["data"]["id"] == job_id
            (of_batch,) = await client.submit_many([JobRequest(prompt="y", batch_id="hers")])
            await client.result(of_batch)
            await client.webhooks.of_batch("hers", receiver.url)
            assert (await receiver.next(await operator.webhooks.secret()))["type"] == "batch.completed"
            with pytest.raises(RefusedError):
                await client.webhooks.secret()
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
