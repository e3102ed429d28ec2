"""Webhooks of a real daemon: asked for by the command, tried again after it was killed, shown by it."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
from pathlib import Path

from tests.acceptance.conftest import StartDaemon
from tests.door import free_port
from tests.receiver import receiving

from spacedock import SyncClient

PAGE = Path(__file__).parents[2] / "docs/webhooks.md"


async def test_a_daemon_that_is_killed_between_two_tries_makes_the_second(make_daemon: StartDaemon) -> None:
    daemon = await asyncio.to_thread(make_daemon, webhooks__allow="[127.0.0.0/8]")

    async def command(*words: str) -> str:
        ran = await asyncio.to_thread(daemon.spacedock, *words)
        assert ran.code == 0, ran.err
        return ran.out.strip()

    secret = await command("webhooks", "secret")
    async with receiving(500) as receiver:
        job = await asyncio.to_thread(submitted, daemon.url, receiver.url)
        first = await receiver.next(secret)
        await asyncio.to_thread(daemon.await_event, "webhook.failed")
        await asyncio.to_thread(daemon.stop, signal.SIGKILL)
        await asyncio.to_thread(daemon.start)
        second = await receiver.next(secret)
        await asyncio.to_thread(daemon.await_event, "webhook.delivered")
        assert second == first
        assert second["data"] == {"id": job, "state": "failed", "labels": {}}
        (row,) = json.loads(await command("webhooks", "list", "--json"))
        assert (row["id"], row["state"], row["tries"]) == (first["id"], "delivered", 2)
        await command("webhooks", "redeliver", row["id"])
        await command("webhooks", "test", receiver.url)
        assert [(await receiver.next(secret))["type"] for _ in range(2)] == ["job.failed", "webhook.test"]
    (example,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    port = free_port()
    script = example.replace("8000", str(port))
    ran = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, env={"WEBHOOK_SECRET": secret}, stdout=asyncio.subprocess.PIPE
    )
    assert ran.stdout is not None
    try:
        await listening(port)
        await command("webhooks", "test", f"http://127.0.0.1:{port}/")
        assert (await ran.stdout.readline()).startswith(b"webhook.test ")
    finally:
        ran.kill()
        await ran.wait()
    table = await command("webhooks", "list")
    assert "HTTP 204" in table
    assert receiver.url in table


async def listening(port: int) -> None:
    """Wait until somebody listens there: the example says nothing when it does."""
    async with asyncio.timeout(60):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return


def submitted(url: str, callback: str) -> str:
    with SyncClient(url) as client:
        return client.submit("x", space="nowhere", tier="heavy", fallback="none", callback=callback)
