"""Two daemons on one Redis: each runs the Spaces that it has, both take part; a killed one loses nothing."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from typing import Any

import yaml
from tests.acceptance.conftest import StartDaemon
from tests.acceptance.running import SPACES, Daemon

from spacedock import SyncClient
from spacedock.request import JobRequest


def with_space(daemon: Daemon, name: str) -> None:
    """Write a Space into a daemon's registry that the other one has not."""
    path = daemon.folder / "registry.yaml"
    registry = yaml.safe_load(path.read_text())
    sentiment = SPACES / "openapi-sentiment"
    registry["spaces"][name] = {"id": name, "repository": str(sentiment), "category": name}
    path.write_text(yaml.safe_dump(registry))


def hosts_once(daemon: Daemon, true: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
    """What the hosts tell, once that is true: each tells it every 3 seconds."""
    for _ in range(30):
        hosts: list[dict[str, Any]] = json.loads(daemon.spacedock("hosts", "--json").out)
        if true(hosts):
            return hosts
        time.sleep(0.5)
    raise AssertionError(hosts)


def test_two_hosts_share_a_batch_and_each_runs_what_it_has(make_daemon: StartDaemon) -> None:
    first = make_daemon(start=False)
    first.start()
    second = make_daemon(start=False, redis_url=first.url)
    with_space(second, "only-here")
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
