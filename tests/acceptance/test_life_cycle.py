"""The daemon's life by real signals: reloaded, frozen, and started beside an engine that hangs."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.acceptance.conftest import StartDaemon
from tests.acceptance.running import Daemon
from tests.quickest import Quickest


def hang_up(daemon: Daemon) -> None:
    assert daemon.process is not None
    daemon.process.send_signal(signal.SIGHUP)


def worker(daemon: Daemon) -> int:
    """The process id of the worker that was started last."""
    return int([event for event in daemon.events if event["event"] == "worker.started"][-1]["pid"])


@pytest.fixture
def daemon(make_daemon: StartDaemon) -> Iterator[Daemon]:
    """A daemon of the test's own, with a file of settings."""
    daemon = make_daemon(start=False)
    (daemon.folder / "spacedockd.yaml").write_text("max_jobs: 5\n")
    daemon.env |= {"SPACEDOCK_CONFIG": str(daemon.folder / "spacedockd.yaml"), "SPACEDOCK_HTTP": "off"}
    daemon.start()
    yield daemon
    daemon.remove()


def test_a_reload_applies_all_or_nothing_and_loses_no_job(daemon: Daemon) -> None:
    file = daemon.folder / "spacedockd.yaml"
    first = worker(daemon)
    file.write_text("max_jobs: [")
    hang_up(daemon)
    assert "is not YAML" in daemon.await_event("reload.refused")["why"]
    file.write_text("max_jobs: 7\nqueue_memory: 99999999\n")
    hang_up(daemon)
    assert "restart the daemon" in daemon.await_event("reload.refused", count=2)["why"]
    assert worker(daemon) == first
    file.write_text("max_jobs: 7\nlog_level: debug\n")
    hang_up(daemon)
    changed = {"max_jobs": "5 -> 7", "log_level": "info -> debug"}
    daemon.await_event("reload.applied", changed=changed)
    daemon.await_event("worker.started", count=2)
    assert daemon.spacedock("tiers", "--json").result["limits"]["jobs"] == 7
    assert daemon.stop() == 0


@pytest.fixture
def patience(request: pytest.FixtureRequest) -> None:
    """Skip what only waits for long, unless there is time for all."""
    if not request.config.getoption("--all-versions"):
        pytest.skip("it takes 20 s: --all-versions")


def test_a_frozen_worker_is_replaced_within_15_s(patience: None, daemon: Daemon) -> None:
    found = Quickest(16.5)
    while found.again:
        first = worker(daemon)
        os.kill(first, signal.SIGSTOP)
        with found.round():
            daemon.await_event("worker.frozen", pid=first)
        daemon.await_event("worker.started", count=len(found.rounds) + 1)
    assert found.under, found.rounds
    assert daemon.spacedock("tiers", "--json").code == 0


@contextmanager
def hung_engine(path: Path) -> Iterator[str]:
    """The address of something that takes connections and never says a word."""
    taken: list[socket.socket] = []
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen(100)

        def accept() -> None:
            while True:
                try:
                    taken.append(listening.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield f"unix://{path}"
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()
    for one in taken:
        one.close()


@pytest.mark.parametrize("kind", ["hung", "absent"])
def test_an_engine_that_hangs_or_is_not_there_keeps_no_daemon_from_starting(
    request: pytest.FixtureRequest, make_daemon: StartDaemon, kind: str
) -> None:
    if kind == "hung":
        request.getfixturevalue("patience")
    daemon = make_daemon(start=False, http="off")
    path = daemon.folder / "engine.sock"
    with hung_engine(path):
        address = path if kind == "hung" else daemon.folder / "none.sock"
        daemon.env["DOCKER_HOST"] = f"unix://{address}"
        starts = Quickest(10.0)
        while starts.again:
            if daemon.process is not None:
                daemon.stop()
            with starts.round():
                daemon.start()
        assert starts.under, starts.rounds
        trouble = daemon.spacedock("tiers", "--json").result["host"]["engine"]["trouble"]
        assert "gave no answer" in trouble if kind == "hung" else "No such file" in trouble
        told = daemon.spacedock("doctor")
        assert told.code == 1
        assert "systemctl restart docker" in told.out if kind == "hung" else "start docker" in told.out
        assert daemon.stop() == 0
