"""What the worker counts for Prometheus: never a prompt, and of names only those that the registry has."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from time import monotonic
from typing import NamedTuple, NoReturn

import structlog
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from spacedock.request import Tier
from spacedock.result import JobResult

log = structlog.get_logger()

# A series for the birth of each other one is of no use, and as many again.
disable_created_metrics()  # type: ignore[no-untyped-call]

_MOST_SPACES = 200
_OTHER = "other"
_LAG_SECONDS = 1.0
_SHORT = (0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0, 300.0)
_LONG = (0.1, 0.5, 2.0, 10.0, 30.0, 120.0, 600.0, 3600.0)
_LAGS = (0.005, 0.02, 0.1, 0.5, 2.0, 10.0)


class Gauge(NamedTuple):
    """Something that is measured when it is asked for: a number, or one for each value of a `label`."""

    name: str
    said: str
    value: float | Mapping[str, float]
    label: str = ""


class WorkCount:
    """How many of one kind of work are `running`, and how many `succeeded` and `failed` since the start."""

    def __init__(self) -> None:
        self.states = {"running": 0.0, "succeeded": 0.0, "failed": 0.0}

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count the block."""
        outcome = "failed"
        self.states["running"] += 1
        try:
            yield
            outcome = "succeeded"
        finally:
            self.states["running"] -= 1
            self.states[outcome] += 1


class WorkerMetrics:
    """Counts how jobs end. `known` says whether a Space is in the registry; `reading` gives the gauges."""

    def __init__(self, known: Callable[[str], bool], reading: Callable[[], Iterable[Gauge]]) -> None:
        self._known, self._seen = known, set[str]()
        self._registry = registry = CollectorRegistry()
        ProcessCollector(namespace="spacedock_worker", registry=registry)
        registry.register(Gauges(reading))
        self._jobs = Counter(
            "spacedock_jobs", "Jobs that ended.", ("state", "tier", "space"), registry=registry
        )
        self._attempts = Counter(
            "spacedock_attempts", "Steps of chains that were tried.", ("tier", "kind"), registry=registry
        )
        self._degraded = Counter(
            "spacedock_degraded", "Answers of another kind than asked.", registry=registry
        )
        self._wait = self._histogram("wait", "From submission until somebody worked on it.", _LONG)
        self._image = self._histogram("image", "Pulling or building an image.", _LONG)
        self._start = self._histogram("start", "Starting a container until its app answers.", _LONG)
        self._call = self._histogram("call", "One call of an app or a model.", _SHORT)
        self._lag = Histogram(
            "spacedock_loop_lag_seconds", "How late the event loop is.", buckets=_LAGS, registry=registry
        )

    def _histogram(self, name: str, said: str, buckets: tuple[float, ...]) -> Histogram:
        whole = f"spacedock_{name}_seconds"
        return Histogram(whole, said, ("tier",), buckets=buckets, registry=self._registry)

    def ended(self, result: JobResult, *, private: bool) -> None:
        """Count a job that has ended; of a private one neither Space nor tier."""
        by, times = result.answered_by, result.timings
        tier = by.tier.value if by is not None and not private else ""
        space = self._named(by.name) if by is not None and tier == Tier.HEAVY.value else ""
        self._jobs.labels(result.state.value, tier, space).inc()
        if result.degraded:
            self._degraded.inc()
        for attempt in result.attempts:
            kind = attempt.error.kind.value if attempt.error is not None else "answered"
            self._attempts.labels(attempt.tier.value, kind).inc()
        self._wait.labels(tier).observe(times.queued + times.waited)
        for histogram, seconds in (
            (self._image, times.prepare),
            (self._start, times.start),
            (self._call, times.call),
        ):
            if seconds > 0:
                histogram.labels(tier).observe(seconds)

    def text(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self._registry)

    async def watch_lag(self) -> NoReturn:
        """Measure how late the loop is, until cancelled."""
        while True:
            due = monotonic() + _LAG_SECONDS
            await asyncio.sleep(_LAG_SECONDS)
            self._lag.observe(max(0.0, monotonic() - due))

    def _named(self, space: str) -> str:
        """The Space's name as a label; there is a bound to how many there are."""
        if space not in self._seen and (len(self._seen) >= _MOST_SPACES or not self._known(space)):
            return _OTHER
        self._seen.add(space)
        return space


class Gauges(Collector):
    """Gauges that are read at each scrape."""

    def __init__(self, reading: Callable[[], Iterable[Gauge]]) -> None:
        self._reading = reading

    def collect(self) -> Iterator[Metric]:
        """The gauges as they are now."""
        for name, said, value, label in self._reading():
            if isinstance(value, Mapping):
                family = GaugeMetricFamily(f"spacedock_{name}", said, labels=[label])
                for one, number in value.items():
                    family.add_metric([one], number)
                yield family
            else:
                yield GaugeMetricFamily(f"spacedock_{name}", said, value=value)


@asynccontextmanager
async def served(metrics: WorkerMetrics, socket: Path | None) -> AsyncIterator[None]:
    """Give the text to whoever connects to the unix socket: the daemon."""
    if socket is None:
        yield
        return

    async def give(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(metrics.text())
        writer.close()

    try:
        # Its directory is this user's alone.
        server = await asyncio.start_unix_server(give, path=str(socket))
    except OSError as error:
        # Nobody counts then; jobs go on.
        log.warning("metrics.not_served", why=str(error))
        yield
        return
    try:
        yield
    finally:
        server.close()
