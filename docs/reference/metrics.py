"""The page of metrics, from the collectors themselves with nothing measured yet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import SimpleNamespace

from prometheus_client.core import Metric

from spacedock._wire.view.depth import Depth
from spacedock_worker.containers.machine.capacity import Room
from spacedock_worker.metrics import WorkCount, WorkerMetrics
from spacedock_worker.service import _gauges
from spacedockd.http.monitoring.metrics import DoorMetrics, queue_families

Row = tuple[str, str, str, str]
TITLES = ("metric", "type", "labels", "what it is")


def sections() -> Mapping[str, tuple[str, list[Row]]]:
    """The rows of each part of `/metrics`, with a line about it."""
    worker = WorkerMetrics(lambda name: True, _worker_gauges)._registry
    door = DoorMetrics()._registry
    queue = queue_families(0, Depth({("batch", "normal"): 0}, {("batch", "normal"): 0}), {})
    return {
        "The queue": ("The same from each host of the queue: do not add them up.", _rows(queue)),
        "The worker": (
            "This host's alone. If the worker does not answer, only `spacedock_worker_up 0` is there.",
            [("`spacedock_worker_up`", "gauge", "", "Whether the worker answers."), *_of(worker)],
        ),
        "The HTTP door": ("The daemon's own process.", list(_of(door))),
    }


def _worker_gauges() -> Iterator[object]:
    """What the worker measures at each scrape, of a host that has done nothing."""
    view = SimpleNamespace(status=dict, taken=lambda: Room(0), limit=Room(0), short=False, host_fault=None)
    images = {"pulls": WorkCount(), "builds": WorkCount()}
    return _gauges(SimpleNamespace(view=view), SimpleNamespace(outages=0), images)


def _of(registry: object) -> Iterator[Row]:
    labels = {
        family.name: collector._labelnames
        for collector in registry._collector_to_names
        if hasattr(collector, "_labelnames")
        for family in collector.describe()
    }
    yield from _rows(registry.collect(), labels)


def _rows(families: Iterator[Metric], labels: Mapping[str, tuple[str, ...]] | None = None) -> list[Row]:
    """Families by name; `_total` is what Prometheus adds to counters."""
    found = []
    for family in families:
        of_samples = dict.fromkeys(name for one in family.samples for name in one.labels)
        named = (labels or {}).get(family.name, of_samples)
        name = f"{family.name}_total" if family.type == "counter" else family.name
        shown = "`state`" if family.name == "spacedock_containers" else ", ".join(f"`{one}`" for one in named)
        found.append((f"`{name}`", family.type, shown, family.documentation))
    return sorted(found)
