"""Two daemons on one Redis: one registry for both, and what is each one's own; a killed one loses nothing."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest
from tests.acceptance.conftest import StartDaemon
from tests.acceptance.running import SPACES, Daemon

from spacedock import SyncClient
from spacedock.request import JobRequest

SENTIMENT = SPACES / "openapi-sentiment"


def hosts_once(daemon: Daemon, true: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
    """What the hosts tell, once that is true: each tells it every 3 seconds."""
    for _ in range(120):
        hosts: list[dict[str, Any]] = json.loads(daemon.spacedock("hosts", "--json").out)
        if true(hosts):
            return hosts
        time.sleep(0.5)
    raise AssertionError(hosts)


def test_two_hosts_share_a_batch_and_each_runs_what_it_has(make_daemon: StartDaemon) -> None:
    first = make_daemon(start=False)
    first.start()
    second = make_daemon(start=False, redis_url=first.url)
    second.declare("only-here", {"repository": str(SENTIMENT), "category": "only-here"})
    second.start()

    ran = first.spacedock("run", "I love it", "--space", "only-here", "--no-fallback")
    assert ran.code == 0, ran.err
    assert ran.out == "glad\n"

    listed = hosts_once(first, lambda hosts: any("only-here" in host["warm"] for host in hosts))
    assert len([host for host in listed if host["alive"]]) == 2
    table = first.spacedock("hosts").out
    assert table.splitlines()[0].split()[:3] == ["host", "id", "state"]

    with SyncClient(first.url) as client:
        requests = [JobRequest(prompt=f"I love it {n}", space="openapi-sentiment") for n in range(40)]
        ids = client.submit_many(requests)
        done = 0
        for result in client.results(ids):
            assert result.succeeded
            done += 1
            if done == 5:
                # Its jobs wait again when their leases have run out.
                second.stop(signal.SIGKILL)
    assert done == 40


@pytest.fixture(scope="module")
def pair(make_daemon: StartDaemon) -> tuple[Daemon, Daemon]:
    """Two hosts of one queue; `painted` needs a GPU on the first, which has none, and not on the second."""
    first = make_daemon(start=False)
    first.declare("painted", {"repository": str(SENTIMENT), "category": "painted", "gpu": 1})
    first.start()
    second = make_daemon(start=False, redis_url=first.url)
    second.declare("painted", {"repository": str(SENTIMENT), "category": "painted"})
    second.start()
    return first, second


def test_a_space_that_is_added_through_one_host_runs_on_every_host(pair: tuple[Daemon, Daemon]) -> None:
    first, second = pair
    added = first.spacedock("spaces", "add", "newcomer", "--dir", SENTIMENT, "--category", "newcomers")
    assert added.code == 0, added.err
    for here, other in ((second, first), (first, second)):
        assert first.spacedock("hosts", "pause", other.id).code == 0
        ran = first.spacedock("run", "I love it", "--space", "newcomer", "--no-fallback")
        assert (ran.code, ran.out) == (0, "glad\n"), ran.err
        assert "newcomer" in spaces_of(here)
        assert first.spacedock("hosts", "resume", other.id).code == 0
    for daemon in pair:
        assert "newcomer" in (daemon.folder / "catalogue.yaml").read_text()
        assert "newcomer" not in (daemon.folder / "registry.yaml").read_text()
    assert first.spacedock("spaces", "remove", "newcomer").code == 0
    assert first.spacedock("run", "I love it", "--space", "newcomer", "--no-fallback").code == 2
    for _ in range(40):
        if not {"newcomer"} & {*spaces_of(first), *spaces_of(second)}:
            break
        # The host that did not answer is told of it.
        time.sleep(0.25)
    else:
        raise AssertionError("the containers of a Space that was removed are still there")


def test_a_job_whose_space_a_host_cannot_run_goes_to_the_other(pair: tuple[Daemon, Daemon]) -> None:
    first, second = pair
    for _ in range(3):
        ran = first.spacedock("run", "I love it", "--space", "painted", "--no-fallback")
        assert (ran.code, ran.out) == (0, "glad\n"), ran.err
    assert "painted" in spaces_of(second)
    assert "painted" not in spaces_of(first)


def spaces_of(daemon: Daemon) -> list[str]:
    """The Spaces of which a host has containers."""
    form = '{{index .Config.Labels "io.spacedock.space"}}'
    ids = daemon.containers()
    ran = subprocess.run(["docker", "inspect", "--format", form, *ids], capture_output=True, text=True)
    return ran.stdout.split()
