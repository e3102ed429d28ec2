"""Rows 1 to 3: latency, throughput and submission, each queue in turn, in several rounds."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from time import perf_counter

from tests.benchmarks.queues.processes import Asked, running, served
from tests.benchmarks.queues.rooms import QUEUES

JOBS = 10_000
ROUNDS = 3
TRIP_SECONDS = 4.0
_TRIPS = 20


@dataclass(slots=True)
class Measured:
    """Of a queue: seconds of each round trip, and of JOBS jobs in each round; `cpu` is its worker's."""

    trips: list[float] = field(default_factory=list)
    submission: list[float] = field(default_factory=list)
    drain: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)


def measure() -> dict[str, Measured]:
    """All queues, each on a server of its own; in each round one after the other."""
    measured = {queue: Measured() for queue in QUEUES}
    with ExitStack() as stack:
        urls = {queue: stack.enter_context(served()) for queue in QUEUES}
        clients = {queue: stack.enter_context(running(queue, "ask", urls[queue])) for queue in QUEUES}
        for number in range(ROUNDS):
            # Each is the first once, so that none has the quietest moment always.
            for queue in QUEUES[number:] + QUEUES[:number]:
                _one_round(queue, urls[queue], clients[queue], measured[queue])
    return measured


def _one_round(queue: str, url: str, client: Asked, into: Measured) -> None:
    into.submission.append(client.ask("submit", JOBS))
    with running(queue, "work", url, str(JOBS)) as worker:
        drain, cpu = worker.answer()
        into.drain.append(drain)
        into.cpu.append(cpu)
        client.ask("trip", _TRIPS)
        end = perf_counter() + TRIP_SECONDS
        while perf_counter() < end:
            into.trips += client.ask("trip", _TRIPS)
