"""Health, readiness and metrics at the door: told truly, in no time, and without a word of any prompt."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families
from redis.asyncio import Redis
from tests.door import Door, opened
from tests.quickest import Quickest

from spacedock._wire import keys
from spacedock._wire.connection import connect
from spacedock.client import Client
from spacedock.request import JobRequest, Tier
from spacedock.result import (
    AnsweredBy,
    AnswerKind,
    Attempt,
    AttemptError,
    ErrorKind,
    JobResult,
    Output,
    Stage,
    Timings,
)
from spacedock.states import JobState
from spacedock_worker.metrics import Gauge, WorkCount, WorkerMetrics, served
from spacedock_worker.witness import Condition
from spacedockd.http.monitoring.metrics import queue_text, worker_text
from spacedockd.pulse import Pulse, Watched, readiness

MONITORING = Path(__file__).parents[3] / "deploy/monitoring"
PROMPT = "a-word-that-nobody-may-count"
FINISHED = 100_000
LIMIT_SECONDS, SCRAPES = 0.02, 50


class Site:
    """A door, the pulse of the worker behind it, and what that counts."""

    def __init__(self, door: Door, pulse: Pulse, metrics: WorkerMetrics) -> None:
        self.door, self.pulse, self.metrics = door, pulse, metrics

    async def told(self, path: str) -> tuple[int, Any]:
        """What anybody hears who has no token."""
        async with aiohttp.ClientSession() as nobody, nobody.get(self.door.url + path) as answer:
            return answer.status, await answer.json()

    async def scraped(self) -> dict[str, list[Any]]:
        """The samples by their names."""
        async with self.door.session.get("/metrics") as answer:
            assert answer.status == 200
            families = list(text_string_to_metric_families(await answer.text()))
        found: dict[str, list[Any]] = {}
        for family in families:
            for sample in family.samples:
                found.setdefault(sample.name, []).append(sample)
        return found


def gauges() -> list[Gauge]:
    rooms = {f"{name}_{kind}": 1.0 for name in ("containers", "gpus") for kind in ("taken", "limit")}
    bytes_ = {f"memory_{kind}_bytes": 2.0**30 for kind in ("taken", "limit")}
    single = {"host_fault": 0.0, "engine_outages": 0.0, "pool_short": 0.0, "quarantined": 0.0}
    plain = [Gauge(name, name, value) for name, value in (rooms | bytes_ | single).items()]
    counts = [Gauge(name, name, {"running": 2.0}, "state") for name in ("containers", "pulls", "builds")]
    return [*counts, *plain]


@pytest.fixture
async def site(redis_url: str, tmp_path: Path) -> AsyncIterator[Site]:
    pulse, metrics = Pulse(), WorkerMetrics(lambda name: name.startswith("known"), gauges)
    socket = tmp_path / "m.sock"
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(served(metrics, socket))
        door = await stack.enter_async_context(opened(redis_url, tmp_path, watched=Watched(pulse, socket)))
        yield Site(door, pulse, metrics)


def ended(space: str = "known", **more: Any) -> JobResult:
    by = AnsweredBy(tier=Tier.HEAVY, kind=AnswerKind.SPACE, name=space)
    failed = Attempt(
        tier=Tier.HEAVY,
        name="other",
        stage=Stage.PULL,
        error=AttemptError(kind=ErrorKind.PULL_FAILED, message=PROMPT),
    )
    fields: dict[str, Any] = {
        "id": "j",
        "state": JobState.SUCCEEDED,
        "answered_by": by,
        "output": Output(text=PROMPT),
        "timings": Timings(queued=0.2, start=3.0, call=1.0, total=4.2),
        "attempts": (failed, Attempt(tier=Tier.HEAVY, name=space, stage=Stage.CALL)),
    }
    return JobResult(**(fields | more))


async def test_health_is_the_workers_own_loop(site: Site) -> None:
    assert await site.told("/healthz") == (503, {"worker": "no worker runs: the daemon starts one"})
    site.pulse.hear(Condition().as_line())
    assert await site.told("/healthz") == (200, {"worker": "ok"})


async def test_readiness_tells_each_part_with_its_true_cause(site: Site) -> None:
    site.pulse.hear(Condition().as_line())
    ready = {"worker": "ok", "queue": "ok", "engine": "ok", "registry": "ok"}
    assert await site.told("/readyz") == (200, ready)
    site.pulse.hear(Condition(engine="it hangs", registry="line 3: no YAML").as_line())
    ready |= {"engine": "it hangs", "registry": "line 3: no YAML"}
    assert await site.told("/readyz") == (503, ready)


async def test_a_queue_and_a_worker_that_are_away_are_told(tmp_path: Path) -> None:
    async with connect(f"unix://{tmp_path}/gone.sock") as redis:
        told = await readiness(Pulse(), redis)
        text = await queue_text(redis) + await worker_text(tmp_path / "gone.sock")
    assert told["queue"] == "the queue does not answer (ConnectionError)"
    assert b"spacedock_queue_up 0.0\n" in text
    assert b"spacedock_worker_up 0\n" in text


async def test_metrics_are_for_who_may_read(site: Site) -> None:
    async with aiohttp.ClientSession() as nobody, nobody.get(site.door.url + "/metrics") as answer:
        assert answer.status == 401


async def test_what_waits_is_counted_by_lane_and_priority(site: Site, redis_url: str) -> None:
    async with Client(redis_url) as client:
        await client.submit(PROMPT, space="known", priority="high")
        await client.submit(PROMPT, space="other")
        await client.submit_many([JobRequest(prompt=PROMPT, space="known", priority="low")] * 3)
    found = await site.scraped()
    waiting = {
        (one.labels["lane"], one.labels["priority"]): one.value for one in found["spacedock_queue_waiting"]
    }
    assert waiting == {("client", "high"): 1, ("client", "normal"): 1, ("batch", "low"): 3}
    assert {one.labels["priority"] for one in found["spacedock_queue_oldest_seconds"]} == {
        "high",
        "normal",
        "low",
    }
    assert all(0 <= one.value < 60 for one in found["spacedock_queue_oldest_seconds"])
    assert PROMPT not in str(found)


async def test_jobs_are_counted_without_what_was_asked_or_answered(site: Site) -> None:
    site.metrics.ended(ended(), private=False)
    site.metrics.ended(ended(space="of/a-stranger"), private=False)
    site.metrics.ended(ended(space="known-secret"), private=True)
    site.metrics.ended(ended(answered_by=None, state=JobState.FAILED, attempts=()), private=False)
    for number in range(500):
        site.metrics.ended(ended(space=f"known-{number}"), private=False)
    found = await site.scraped()
    kinds = ("state", "tier", "space")
    jobs = {tuple(map(one.labels.get, kinds)): one.value for one in found["spacedock_jobs_total"]}
    assert jobs["succeeded", "heavy", "known"] == 1
    assert jobs["succeeded", "", ""] == 1
    assert jobs["failed", "", ""] == 1
    assert jobs["succeeded", "heavy", "other"] == 1 + 500 - 199
    assert len(jobs) <= 204
    attempts = {one.labels["kind"]: one.value for one in found["spacedock_attempts_total"]}
    assert attempts == {"pull_failed": 503, "answered": 503}
    text = site.metrics.text().decode()
    assert PROMPT not in text
    assert "stranger" not in text
    assert "known-secret" not in text


def test_pulls_and_builds_are_counted_by_how_they_end() -> None:
    tally = WorkCount()
    with tally.counted():
        assert tally.states["running"] == 1
    with pytest.raises(ZeroDivisionError), tally.counted():
        raise ZeroDivisionError
    assert tally.states == {"running": 0, "succeeded": 1, "failed": 1}


async def test_requests_are_counted_by_the_pattern_of_their_path(site: Site) -> None:
    await site.told("/healthz")
    async with site.door.session.get(f"/{PROMPT}") as answer:
        assert answer.status == 404
    found = await site.scraped()
    seen = {(one.labels["route"], one.labels["status"]) for one in found["spacedock_http_requests_total"]}
    assert {("/healthz", "5xx"), ("unknown", "4xx")} <= seen
    assert PROMPT not in str(found)


async def fill(redis: Redis, count: int) -> None:
    """Records of jobs that have ended, and a hundred lanes in which jobs wait."""
    async with redis.pipeline(transaction=False) as pipe:
        for number in range(count):
            pipe.hset(keys.job(f"{number:032x}"), mapping={"state": "succeeded", "submitted": 1})
            if number % 5000 == 0:
                await pipe.execute()
        await pipe.execute()


async def test_a_scrape_takes_under_20_ms_with_100_000_finished_jobs(site: Site, redis_url: str) -> None:
    async with connect(redis_url) as redis:
        await fill(redis, FINISHED)
    async with Client(redis_url) as client:
        for number in range(20):
            await client.submit_many([JobRequest(prompt="x", space=f"known-{number}")] * 3)
    for number in range(200):
        site.metrics.ended(ended(space=f"known-{number}"), private=False)
    scrapes = Quickest(LIMIT_SECONDS)
    while scrapes.again:
        began = computed(os.getpid())
        for _ in range(SCRAPES):
            async with site.door.session.get("/metrics") as answer:
                await answer.read()
        scrapes.took((computed(os.getpid()) - began) / SCRAPES)
    assert scrapes.under, scrapes.rounds


def computed(pid: int) -> float:
    """Processor seconds of a process and all below it, here the scraper, the door and Valkey."""
    children = Path(f"/proc/{pid}/task").glob("*/children")
    times = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    below = [computed(int(child)) for file in children for child in file.read_text().split()]
    return sum(map(int, times)) / os.sysconf("SC_CLK_TCK") + sum(below)


def expressions() -> list[str]:
    panels = json.loads((MONITORING / "dashboard.json").read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel["targets"]]


async def test_rules_and_dashboard_ask_for_what_is_told(site: Site, redis_url: str) -> None:
    async with Client(redis_url) as client:
        await client.submit("x")
    site.metrics.ended(ended(timings=Timings(prepare=1.0, start=1.0, call=1.0)), private=False)
    await site.told("/healthz")
    asked = " ".join(expressions()) + (MONITORING / "alerts.yaml").read_text()
    names, told = set(re.findall(r"\bspacedock_\w+", asked)), (await site.scraped()).keys()
    assert len(names) > 15
    assert names - told == set()
    page = (MONITORING.parents[1] / "docs/reference/metrics.md").read_text()
    shown = re.findall(r"^\| `(spacedock_\w+)", page, re.MULTILINE)
    assert [name for name in shown if not any(one.startswith(name) for one in told)] == []
    assert [name for name in told if not any(name.startswith(one) for one in shown)] == []


@pytest.fixture
def promtool() -> Callable[..., None]:
    """Prometheus' own checker, which has to be content."""
    if (found := shutil.which("promtool")) is None:
        pytest.skip("promtool is missing: apt-get install prometheus")

    def run(*words: str | Path) -> None:
        done = subprocess.run([found, *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    return run


def test_promtool_takes_the_rules_and_the_dashboards_expressions(
    promtool: Callable[..., None], tmp_path: Path
) -> None:
    recorded: list[dict[str, str]] = []
    for number, expression in enumerate(expressions()):
        recorded.append({"record": f"panel:{number}", "expr": expression})
    (tmp_path / "panels.yaml").write_text(json.dumps({"groups": [{"name": "panels", "rules": recorded}]}))
    promtool("check", "rules", MONITORING / "alerts.yaml", tmp_path / "panels.yaml")


def test_every_alert_fires_where_it_should_and_none_where_all_is_well(
    promtool: Callable[..., None], tmp_path: Path
) -> None:
    hours = (Path(__file__).parent.parent / "data/alerts.yaml").read_text()
    (tmp_path / "hours.yaml").write_text(
        hours.replace("[RULES]", json.dumps([str(MONITORING / "alerts.yaml")]))
    )
    promtool("test", "rules", tmp_path / "hours.yaml")
