"""Row 12: upgrade and downgrade with jobs in flight; each client with the other's daemon."""

from __future__ import annotations

import asyncio
import io
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from tests.acceptance.running import Daemon
from tests.faults.account import Account, CannotRunError, Case, Row
from tests.faults.ground import calls_of, counting_daemon, stopped
from tests.faults.load import FILE, TEXT, Load, text_job
from tests.faults.page import ROOT
from tests.faults.rows.volume import accounted

from spacedock import Client

EARLIER = "0412041"
"""There is no release yet: the earliest commit that speaks today's wire, events included."""

_PACKAGES = ("client", "worker", "daemon")
_ASKING = """
import asyncio, sys
from spacedock import Client
async def main():
    async with Client(sys.argv[1]) as client:
        for prompt in sys.argv[2:]:
            job_id = await client.submit(prompt, space="counting", endpoint="/shout", fallback="none")
            result = await client.result(job_id, keep=True)
            print(job_id, result.state.value, (result.output.text or "").strip())
asyncio.run(main())
"""


@contextmanager
def earlier() -> Iterator[str]:
    """The PYTHONPATH of the earlier code."""
    with tempfile.TemporaryDirectory(prefix="sd-earlier-") as folder:
        asked = ["git", "archive", EARLIER, *_PACKAGES]
        done = subprocess.run(asked, cwd=ROOT, capture_output=True, check=False)
        if done.returncode:
            raise CannotRunError(f"the commit {EARLIER} is not here: it needs a clone with its history")
        with tarfile.open(fileobj=io.BytesIO(done.stdout)) as tar:
            tar.extractall(folder, filter="data")
        yield os.pathsep.join(str(Path(folder, package)) for package in _PACKAGES)


def restarted(daemon: Daemon, path: str | None) -> None:
    """Stop the daemon with its jobs under way, and start it with the code at `path` (None: this one)."""
    daemon.stop()
    # The earlier one has no door, and knows no such setting.
    daemon.env.pop("SPACEDOCK_HTTP", None)
    daemon.env["PYTHONPATH"] = path or ""
    if path is None:
        daemon.env["SPACEDOCK_HTTP"] = "off"
    daemon.start()


async def replaced(trials: int) -> Account:
    """Downgrade and upgrade the daemon again and again, under the load of today's client.

    It asks for no pipelines, which the earlier one does not know.
    """
    with earlier() as path:
        async with counting_daemon(containers__max_containers="1") as daemon:
            async with Load(daemon.url, partial(calls_of, daemon), kinds=(TEXT, FILE)) as load:
                for _ in range(trials):
                    for code in (path, None):
                        await asyncio.sleep(2)
                        held = await load.in_hand()
                        await asyncio.to_thread(restarted, daemon, code)
                        await load.recovered(time.time(), held)
                account = await load.stop(trials)
            return replace(account, left=tuple(await stopped(daemon)))


async def newer_client(trials: int) -> Account:
    """Today's client asks the earlier daemon."""
    with earlier() as path:
        async with counting_daemon(containers__max_containers="1") as daemon:
            await asyncio.to_thread(restarted, daemon, path)
            jobs = [text_job(f"{number:08}") for number in range(trials)]
            async with Client(daemon.url) as client:
                ids = [await client.submit_prepared(job.request) for job in jobs]
                results = {result.id: result async for result in client.results(ids, keep=True)}
            account = accounted(results, dict(zip(ids, jobs, strict=True)), daemon)
            return replace(account, trials=trials, left=tuple(await stopped(daemon)))


async def earlier_client(trials: int) -> Account:
    """The earlier client asks today's daemon."""
    with earlier() as path:
        async with counting_daemon(containers__max_containers="1") as daemon:
            prompts = [f"fault-{number:08}" for number in range(trials)]
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", _ASKING, daemon.url, *prompts),
                env={**daemon.env, "PYTHONPATH": path},
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            out, err = await process.communicate()
            lines = [line.split(maxsplit=2) for line in out.decode().splitlines()]
            wrong = [
                " ".join(line)
                for line, prompt in zip(lines, prompts, strict=False)
                if line[1:2] != ["succeeded"] or line[2:] != [prompt.upper()]
            ]
            if process.returncode:
                wrong.append(err.decode()[-300:])
            lost, left = trials - len(lines), tuple(await stopped(daemon))
            return Account(trials, len(lines), lost, 0, len(wrong), wrong=tuple(wrong), left=left)


ROW = Row(
    12,
    "Upgrade and downgrade",
    (
        Case("replaced", f"the daemon replaced by {EARLIER} and back, with jobs under way", replaced, 10),
        Case("newer-client", f"today's client with the daemon of {EARLIER}", newer_client, 50),
        Case("earlier-client", f"the client of {EARLIER} with today's daemon", earlier_client, 50),
    ),
)  # fmt: skip
