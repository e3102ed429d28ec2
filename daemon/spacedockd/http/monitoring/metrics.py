"""What the daemon adds to its worker's metrics: the queue as it is now, and the HTTP door."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path
from time import monotonic
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from redis.asyncio import Redis
from redis.exceptions import RedisError

from spacedock._wire.connection import answer
from spacedock._wire.view.depth import Depth, measure
from spacedockd.http.errors import route_of

disable_created_metrics()  # type: ignore[no-untyped-call]

_WORKER_SECONDS, _QUEUE_SECONDS = 1.0, 2.0
_MOST_BYTES = 2**22
_BUCKETS = (0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0)


class DoorMetrics:
    """Counts the requests of the HTTP door, by the patterns of their paths."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(namespace="spacedock_daemon", registry=registry)
        labels = ("method", "route", "status")
        self._requests = Counter("spacedock_http_requests", "HTTP requests.", labels, registry=registry)
        self._open = Gauge("spacedock_http_open", "HTTP requests that are open.", registry=registry)
        self._seconds = Histogram(
            "spacedock_http_seconds",
            "How long HTTP requests took.",
            ("route",),
            buckets=_BUCKETS,
            registry=registry,
        )

    def middleware(self) -> Middleware:
        """Count each request and its answer."""

        @web.middleware
        async def counted(request: web.Request, handler: Handler) -> web.StreamResponse:
            begun, status = monotonic(), "aborted"
            method = request.method if request.method in _METHODS else "other"
            with self._open.track_inprogress():
                try:
                    answered = await handler(request)
                    status = f"{answered.status // 100}xx"
                finally:
                    route = route_of(request)
                    self._requests.labels(method, route, status).inc()
                    self._seconds.labels(route).observe(monotonic() - begun)
            return answered

        return counted

    def text(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self._registry)


_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


async def worker_text(socket: Path) -> bytes:
    """What the worker tells of itself; that it is not up where it does not answer in time."""
    try:
        async with asyncio.timeout(_WORKER_SECONDS):
            reader, writer = await asyncio.open_unix_connection(str(socket))
            try:
                return _up(1) + await _whole(reader)
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return _up(0)


def _up(number: int) -> bytes:
    name = "spacedock_worker_up"
    return f"# HELP {name} Whether the worker answers.\n# TYPE {name} gauge\n{name} {number}\n".encode()


async def _whole(reader: asyncio.StreamReader) -> bytes:
    parts: list[bytes] = []
    while (part := await reader.read(2**16)) and sum(map(len, parts)) < _MOST_BYTES:
        parts.append(part)
    return b"".join(parts)


async def queue_text(redis: Redis) -> bytes:
    """The queue and its server as they are now."""
    begun = monotonic()
    try:
        async with asyncio.timeout(_QUEUE_SECONDS):
            await redis.ping()
            seconds = monotonic() - begun
            depth = await measure(redis)
            found = await answer(redis.info("memory"))
    except (RedisError, OSError, TimeoutError):
        return _generated([GaugeMetricFamily("spacedock_queue_up", "Whether the queue answers.", value=0)])
    return _generated(queue_families(seconds, depth, found))


def queue_families(seconds: float, depth: Depth, memory: Mapping[str, Any]) -> list[Metric]:
    """The queue's gauges; its server answers in `seconds` and tells of its `memory`."""
    server = {name: float(memory.get(name) or 0) for name in ("used_memory", "maxmemory")}
    return [
        GaugeMetricFamily("spacedock_queue_up", "Whether the queue answers.", value=1),
        GaugeMetricFamily("spacedock_queue_answer_seconds", "How long its answer takes.", value=seconds),
        GaugeMetricFamily("spacedock_queue_hosts", "Hosts that are up.", value=depth.hosts),
        GaugeMetricFamily("spacedock_queue_lanes", "Lanes in which jobs wait.", value=depth.lanes),
        GaugeMetricFamily("spacedock_queue_running", "Jobs that are claimed.", value=depth.running),
        GaugeMetricFamily("spacedock_queue_unfinished", "Jobs that wait or run.", value=depth.unfinished),
        *_by_kind(depth),
        *(
            GaugeMetricFamily(f"spacedock_redis_{name}_bytes", f"{name} of the server.", value=value)
            for name, value in server.items()
        ),
    ]


def _by_kind(depth: Depth) -> Iterator[Metric]:
    for name, said, values in (
        ("spacedock_queue_waiting", "Jobs that wait.", depth.waiting),
        ("spacedock_queue_oldest_seconds", "For how long the oldest job has waited.", depth.oldest),
    ):
        family = GaugeMetricFamily(name, said, labels=["lane", "priority"])
        for kind, value in values.items():
            family.add_metric(kind, value)
        yield family


class _Now(Collector):
    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> list[Metric]:
        """The families that were measured."""
        return self._families


def _generated(families: list[Metric]) -> bytes:
    registry = CollectorRegistry()
    registry.register(_Now(families))
    return generate_latest(registry)
