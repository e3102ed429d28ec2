"""How fast a call of a Gradio app is, by `python -m tests.benchmarks.bench_adapter`: one trivial function.

It is called in turns on one container, so that noise hits every way alike: by a bare POST on one connection
(the floor), by the adapter, by the adapter that may use nothing but the app's queue, and by gradio_client.
Exits with 1 where the adapter misses its bar.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, closing, redirect_stderr
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from urllib.parse import urlsplit

from gradio_client import Client
from tests.apps import Apps

from spacedock_worker.adapters.base import AnswerLimits, AppCall
from spacedock_worker.adapters.gradio.adapter import GradioAdapter
from spacedock_worker.adapters.gradio.connection import connect
from spacedock_worker.adapters.gradio.direct import LearnedEndpoints, has_no_queue
from spacedock_worker.adapters.http import AppHttp
from spacedock_worker.logs import configure

SPACE, CALL, ANSWER = "g-interface", AppCall("ahoy"), "AHOY!"
VERSIONS = ("3.35.2", "3.50.2", "4.8.0", "4.44.1", "5.50.0", "6.31.0")
CALLED_FASTER = ("5.50.0", "6.31.0")
ABOVE_FLOOR_MS, TIMES_FASTER = 1.5, 5.0
ROUNDS, QUICK_CALLS, WARM_UP = 30, 7, 5

Way = Callable[[], Awaitable[object]]


@dataclass(slots=True)
class Timings:
    """Milliseconds of each call on one version of Gradio, by the way it went; no way is empty."""

    version: str
    calls: dict[str, list[float]] = field(default_factory=dict)

    def median(self, way: str) -> float | None:
        """The median of one way; None where the version cannot be called so."""
        return statistics.median(self.calls[way]) if way in self.calls else None

    @property
    def above(self) -> float:
        """How far the adapter's median is above the floor's, in milliseconds."""
        return statistics.median(self.calls["ours"]) - statistics.median(self.calls["floor"])

    @property
    def ratio(self) -> float | None:
        """How many times longer gradio_client takes than the adapter."""
        official = self.median("official")
        return official / statistics.median(self.calls["ours"]) if official else None


class Floor:
    """A bare POST with a body made beforehand, on one connection that is kept."""

    def __init__(self, base_url: str, prefix: str, fn_index: int) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(base_url).netloc, timeout=10)
        self._path = f"{prefix}/run/predict"
        self._body = json.dumps({"data": [CALL.prompt], "fn_index": fn_index}).encode()

    async def __call__(self) -> object:
        headers = {"Content-Type": "application/json"}
        self._connection.request("POST", self._path, self._body, headers)
        return json.loads(self._connection.getresponse().read())["data"][0]

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


async def measure(base_url: str, version: str) -> Timings:
    """Time every way that the version has, in turns."""
    timings = Timings(version)
    async with AsyncExitStack() as stack:
        quick, slow = await ways(base_url, version, stack)
        # The slow ways first: an app closes connections that have been idle for some seconds.
        for way in (*slow.values(), *quick.values()):
            for _ in range(WARM_UP):
                await way()
        for _ in range(ROUNDS):
            for name, way in [*quick.items()] * QUICK_CALLS + [*slow.items()]:
                began = perf_counter()
                answer = await way()
                timings.calls.setdefault(name, []).append((perf_counter() - began) * 1000)
                if answer != ANSWER:
                    raise ValueError(f"{name} answered {answer!r} on {version}")
    return timings


async def ways(base_url: str, version: str, stack: AsyncExitStack) -> tuple[dict[str, Way], dict[str, Way]]:
    """The ways that take a moment and those that take long; `stack` closes them."""
    memory = LearnedEndpoints()
    ours = await adapter(base_url, memory, stack)
    name = memory.choose(ours.app.endpoints, CALL).endpoint.name
    function = ours.app.functions[name]
    floor = stack.enter_context(closing(Floor(base_url, ours.app.prefix, function.fn_index)))
    slow: dict[str, Way] = {}
    if not has_no_queue(ours.app, function):
        slow["queue"] = asking(await adapter(base_url, LearnedEndpoints(), stack, direct=False))
        await learn(ours, memory, name)
    if not version.startswith("3."):
        slow["official"] = predicting(base_url, name, stack)
    return {"floor": floor, "ours": asking(ours)}, slow


async def learn(app: GradioAdapter, memory: LearnedEndpoints, name: str) -> None:
    """Call until the adapter has compared both ways, which it does after a call that took a moment."""
    for _ in range(WARM_UP):
        await app.call(CALL, unheard)
        if memory.direct.get(name):
            return
    raise ValueError(f"the adapter does not take the fast path on Gradio {app.app.version}")


async def adapter(
    base_url: str, memory: LearnedEndpoints, stack: AsyncExitStack, *, direct: bool = True
) -> GradioAdapter:
    """The adapter, connected as the worker connects it."""
    found = await connect(AppHttp(base_url), memory, AnswerLimits(), direct=direct)
    if found is None:
        raise ValueError(f"no Gradio app answers at {base_url}")
    stack.push_async_callback(found.aclose)
    return found


def asking(app: GradioAdapter) -> Way:
    """A whole call by the adapter."""

    async def ask() -> object:
        return (await app.call(CALL, unheard)).text

    return ask


def predicting(base_url: str, name: str, stack: AsyncExitStack) -> Way:
    """A call by gradio_client, which blocks; nothing else is under way meanwhile."""
    client = Client(base_url, token=False, verbose=False, analytics_enabled=False, download_files=False)
    stack.callback(client.close)

    async def predict() -> object:
        return client.predict(CALL.prompt, api_name=name)

    return predict


def unheard(message: str, partial: str | None = None) -> None:
    """Nobody watches."""


def row(timings: Timings) -> str:
    """One line of the table."""
    cells = [shown(timings.median("floor"), "{:.2f}"), shown(timings.median("ours"), "{:.2f}")]
    cells += [f"{timings.above:+.2f}", shown(timings.median("queue"), "{:.2f}")]
    cells += [shown(timings.median("official"), "{:.1f}"), shown(timings.ratio, "{:.1f}x")]
    return line(timings.version, cells)


def shown(number: float | None, form: str) -> str:
    """A figure, or a dash where there is none."""
    return "-" if number is None else form.format(number)


def line(first: str, cells: list[str]) -> str:
    """The cells of a line, aligned."""
    return f"{first:8}" + "".join(f"{cell:>15}" for cell in cells)


def verdicts(measured: list[Timings]) -> list[tuple[bool, str]]:
    """Whether each bar is cleared, with what it says."""
    found = [
        (t.above <= ABOVE_FLOOR_MS, f"{t.version}: at most {ABOVE_FLOOR_MS} ms above the floor")
        for t in measured
    ]
    found += [
        (
            (t.ratio or 0) >= TIMES_FASTER,
            f"{t.version}: at least {TIMES_FASTER:g} times faster than gradio_client",
        )
        for t in measured
        if t.version in CALLED_FASTER
    ]
    return found


def main() -> int:
    """Measure, print the table and the verdicts; 1 where a bar is missed."""
    parser = argparse.ArgumentParser(description="Time the calls of one trivial Gradio function.")
    parser.add_argument("--versions", nargs="+", choices=VERSIONS, default=VERSIONS, metavar="VERSION")
    chosen = parser.parse_args().versions
    say(
        line(
            "Gradio",
            ["floor ms", "ours ms", "above floor", "by the queue", "gradio_client", "gradio_c./ours"],
        )
    )
    measured = []
    # The log is written as a daemon's worker writes it: its lines are a part of what a call costs.
    with tempfile.TemporaryDirectory() as folder, open(os.devnull, "w") as log, redirect_stderr(log):
        configure("json", "info")
        with closing(Apps(Path(folder))) as apps:
            for version in chosen:
                measured.append(asyncio.run(measure(apps.url(SPACE, version), version)))
                say(row(measured[-1]))
    told = verdicts(measured)
    for good, what in told:
        say(f"{'ok    ' if good else 'MISSED'} {what}")
    return 0 if all(good for good, _ in told) else 1


def say(text: str) -> None:
    """Print at once, also into a pipe."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
