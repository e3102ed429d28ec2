"""Row 9: much at once, and for long: many jobs, files, clients and connections; what grows in a soak."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial

import aiohttp
from tests.acceptance.running import Daemon
from tests.door import free_port
from tests.faults.account import Account, Case, Row
from tests.faults.ground import calls_of, counting_daemon, stopped
from tests.faults.growth import MB, memory, sampled, slopes
from tests.faults.load import Job, Load, file_job, text_job

from spacedock import Client
from spacedock.result import JobResult
from spacedockd.http.listening import allow_files

FILE_BYTES = 5 * 2**20
UPLOADS = 8


async def texts(trials: int) -> Account:
    """So many texts, submitted at once."""
    async with counting_daemon(containers__max_containers="3") as daemon, Client(daemon.url) as client:
        jobs = [text_job(f"{number:08}") for number in range(trials)]
        began = time.monotonic()
        ids = await client.submit_many(job.request for job in jobs)
        submitted = time.monotonic() - began
        account = await followed(client, dict(zip(ids, jobs, strict=True)), daemon)
        note = f"submitted in {submitted:.1f} s, all ended after {time.monotonic() - began:.0f} s"
        return replace(account, trials=trials, notes=(note,), left=tuple(await stopped(daemon)))


async def files(trials: int) -> Account:
    """So many files of 5 MB, each sent, answered in reverse, and fetched."""
    async with counting_daemon(containers__max_containers="3") as daemon, Client(daemon.url) as client:
        began, turns, jobs = time.monotonic(), asyncio.Semaphore(UPLOADS), dict[str, Job]()

        async def submit(number: int) -> None:
            async with turns:
                job = file_job(f"{number:08}", FILE_BYTES)
                jobs[await client.submit_prepared(job.request, job.payloads)] = job

        await asyncio.gather(*(submit(number) for number in range(trials)))
        account = await followed(client, jobs, daemon)
        note = f"all ended after {time.monotonic() - began:.0f} s"
        return replace(account, trials=trials, notes=(note,), left=tuple(await stopped(daemon)))


async def clients(trials: int) -> Account:
    """So many clients, each with connections of its own, that wait at the same time."""
    async with counting_daemon(containers__max_containers="3") as daemon:
        jobs = [text_job(f"{number:08}") for number in range(trials)]

        async def run(client: Client, job: Job) -> JobResult:
            return await client.result(await client.submit_prepared(job.request))

        async with AsyncExitStack() as stack:
            many = [await stack.enter_async_context(Client(daemon.url)) for _ in range(trials)]
            results = await asyncio.gather(*map(run, many, jobs))
        asked = {result.id: job for result, job in zip(results, jobs, strict=True)}
        account = accounted({result.id: result for result in results}, asked, daemon)
        return replace(account, trials=trials, left=tuple(await stopped(daemon)))


async def queued(trials: int) -> Account:
    """So many jobs of one user that wait, while another's are answered; then all are cancelled."""
    async with counting_daemon(containers__max_containers="3") as daemon, Client(daemon.url) as client:
        before, began = memory(daemon), time.monotonic()
        waiting = [text_job(f"waits-{number:08}").request for number in range(trials)]
        ids = await client.submit_many(waiting, name="one")
        notes = [f"submitted in {time.monotonic() - began:.1f} s"]
        jobs, seconds = dict[str, Job](), list[float]()
        for number in range(100):
            job, began = text_job(f"{number:08}"), time.monotonic()
            jobs[job_id := await client.submit_prepared(job.request, name="another")] = job
            await client.result(job_id)
            seconds.append(time.monotonic() - began)
        account = await followed(client, jobs, daemon)
        median, worst = 1000 * statistics.median(seconds), 1000 * max(seconds)
        notes.append(f"another's job meanwhile: {median:.0f} ms at the median, {worst:.0f} ms at most")
        grown = {name: (size - before[name]) / MB for name, size in memory(daemon).items()}
        notes.append("memory more: " + ", ".join(f"{name} {size:.0f} MB" for name, size in grown.items()))
        began = time.monotonic()
        for start in range(0, len(ids), 1000):
            await asyncio.gather(*map(client.cancel, ids[start : start + 1000]))
        states = Counter([result.state.value async for result in client.results(ids)])
        notes.append(f"then all cancelled in {time.monotonic() - began:.0f} s: {dict(states)}")
        lost = account.lost + len(ids) - states["cancelled"] - states["succeeded"]
        total = account.acknowledged + len(ids)
        account = replace(account, trials=trials, lost=lost, notes=tuple(notes), acknowledged=total)
        return replace(account, left=tuple(await stopped(daemon)))


async def connections(trials: int) -> Account:
    """So many HTTP connections that wait for their jobs at once."""
    allow_files()
    port = free_port()
    settings = {"http__port": str(port), "http__limits__rate": "1000000"}
    async with (
        counting_daemon(containers__max_containers="3", **settings) as daemon,
        Client(daemon.url) as client,
    ):
        token = (daemon.folder / "state" / "http-token").read_text().strip()
        jobs = [text_job(f"{number:08}") for number in range(trials)]
        headers = {"Authorization": f"Bearer {token}"}
        connector, patience = aiohttp.TCPConnector(limit=0), aiohttp.ClientTimeout(total=600)
        async with aiohttp.ClientSession(
            f"http://127.0.0.1:{port}", headers=headers, connector=connector, timeout=patience
        ) as session:

            async def run(job: Job) -> str:
                body = job.request.model_dump(mode="json", exclude_unset=True)
                async with session.post("/jobs", json=body, headers={"Prefer": "wait=300"}) as response:
                    assert response.status == 200, await response.text()
                    return str((await response.json())["id"])

            ids = await asyncio.gather(*map(run, jobs))
        account = await followed(client, dict(zip(ids, jobs, strict=True)), daemon)
        return replace(account, trials=trials, left=tuple(await stopped(daemon)))


async def followed(client: Client, jobs: Mapping[str, Job], daemon: Daemon) -> Account:
    """Wait for all jobs, and say what came of them."""
    results, bytes_of = dict[str, JobResult](), dict[str, bytes]()
    async for result in client.results(jobs, keep=True):
        results[result.id] = result
        if jobs[result.id].payloads and result.succeeded:
            bytes_of[result.id] = await client.fetch(result.output.files[0])
    return accounted(results, jobs, daemon, bytes_of)


def accounted(
    results: Mapping[str, JobResult],
    jobs: Mapping[str, Job],
    daemon: Daemon,
    files: Mapping[str, bytes] | None = None,
) -> Account:
    """What came of these jobs: the daemon's log tells each result written, the Space each call."""
    written = Counter(e["job_id"] for e in daemon.events if e["event"] == "job.ended" and e["written"])
    called = Counter(digest for _, digest in calls_of(daemon))
    doubled = [
        job_id
        for job_id, job in jobs.items()
        if written[job_id] > 1 or any(called[digest] > 1 for digest in job.asked)
    ]
    wrong = {
        job_id: f"{result.state.value}: {result.error}"
        for job_id, result in results.items()
        if not result.succeeded
        or jobs[job_id].answer not in ((files or {}).get(job_id) or (result.output.text or "").encode())
    }
    lost = jobs.keys() - results.keys()
    said = [f"{job_id}: {why}" for job_id, why in wrong.items()]
    return Account(1, len(jobs), len(lost), len(doubled), len(wrong), wrong=tuple(said))


async def soak(trials: int) -> Account:
    """So many minutes of texts and files, while memory, descriptors, keys, containers and disk are noted."""
    async with counting_daemon(containers__max_containers="3") as daemon:
        async with (
            Load(daemon.url, partial(calls_of, daemon)) as load,
            sampled(daemon, lambda: len(load.results)) as samples,
        ):
            await asyncio.sleep(60 * trials)
            account = await load.stop(trials)
        notes, wrong = slopes(samples)
        return replace(
            account, notes=notes, wrong=(*account.wrong, *wrong), left=tuple(await stopped(daemon))
        )


ROW = Row(
    9,
    "Load",
    (
        Case("texts", "texts through 3 slots, each a trial", texts, 10_000),
        Case("files", "files of 5 MB through 3 slots, each a trial", files, 500),
        Case("clients", "clients that wait at once, each a trial", clients, 200, 20),
        Case(
            "queued",
            "jobs of one user that wait, each a trial, while another's are answered",
            queued,
            100_000,
        ),
        Case(
            "connections",
            "HTTP connections that wait for their jobs at once, each a trial",
            connections,
            1000,
        ),
        Case("soak", "texts and files without a pause, each minute a trial", soak, 20),
    ),
)
