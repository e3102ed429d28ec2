"""What systemd hears, on a notification socket of the test's own."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import pytest

from spacedockd.notify import Notifier

PID = 4242


class Manager:
    """The other end: what a service manager would receive."""

    def __init__(self, address: str) -> None:
        self.env = {"NOTIFY_SOCKET": address}
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self.socket.settimeout(60)

    def heard(self) -> list[str]:
        return self.socket.recv(4096).decode().split("\n")


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    manager = Manager(str(tmp_path / "notify.sock"))
    with manager.socket:
        yield manager


def test_ready_with_a_status(manager: Manager) -> None:
    Notifier(manager.env, PID).ready("3 Spaces")
    assert manager.heard() == ["READY=1", "STATUS=3 Spaces"]


def test_a_status_is_one_line(manager: Manager) -> None:
    Notifier(manager.env, PID).status("one\nREADY=1")
    assert manager.heard() == ["STATUS=one READY=1"]


def test_stopping(manager: Manager) -> None:
    Notifier(manager.env, PID).stopping("drains")
    assert manager.heard() == ["STOPPING=1", "STATUS=drains"]


def test_an_abstract_address() -> None:
    manager = Manager(f"@spacedock-{uuid4()}")
    with manager.socket:
        Notifier(manager.env, PID).status("here")
        assert manager.heard() == ["STATUS=here"]


async def test_the_watchdog_beats_within_half_its_limit(manager: Manager) -> None:
    env = manager.env | {"WATCHDOG_USEC": "40000", "WATCHDOG_PID": str(PID)}
    beating = asyncio.create_task(Notifier(env, PID).watchdog(lambda: None))
    started = asyncio.get_running_loop().time()
    for _ in range(3):
        assert await asyncio.to_thread(manager.heard) == ["WATCHDOG=1"]
    assert asyncio.get_running_loop().time() - started >= 0.04
    beating.cancel()
    with suppress(asyncio.CancelledError):
        await beating


async def test_the_watchdog_goes_hungry_while_the_workers_loop_answers_not(manager: Manager) -> None:
    env = manager.env | {"WATCHDOG_USEC": "20000"}
    asked, trouble = asyncio.Event(), ["frozen", "frozen", None]

    def answers() -> str | None:
        if len(trouble) > 1:
            return trouble.pop(0)
        asked.set()
        return None

    beating = asyncio.create_task(Notifier(env, PID).watchdog(answers))
    await asked.wait()
    assert await asyncio.to_thread(manager.heard) == ["WATCHDOG=1"]
    beating.cancel()
    with suppress(asyncio.CancelledError):
        await beating


def test_a_reload_says_when_it_began(manager: Manager) -> None:
    notifier = Notifier(manager.env, PID)
    notifier.reloading()
    first, second = manager.heard()
    assert first == "RELOADING=1"
    assert second.startswith("MONOTONIC_USEC=")
    notifier.reloaded()
    assert manager.heard() == ["READY=1"]


@pytest.mark.parametrize(
    "watch",
    [{}, {"WATCHDOG_USEC": "40000", "WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "x"}],
)
async def test_no_watchdog_is_fed_that_is_not_ours(manager: Manager, watch: dict[str, str]) -> None:
    notifier = Notifier(manager.env | watch, PID)
    beating = asyncio.create_task(notifier.watchdog(lambda: None))
    await asyncio.sleep(0)
    notifier.status("the first that is heard")
    assert manager.heard() == ["STATUS=the first that is heard"]
    beating.cancel()
    with suppress(asyncio.CancelledError):
        await beating


@pytest.mark.parametrize("env", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "/nonexistent/notify.sock"}])
def test_nobody_listening_is_no_failure(env: dict[str, str]) -> None:
    Notifier(env, PID).ready("alone")
