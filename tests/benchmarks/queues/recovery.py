"""Row 4: how long the jobs of a worker that was killed wait until another one runs them."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Self

from tests.benchmarks.queues.measured import RAN
from tests.benchmarks.queues.processes import Asked, running, served
from tests.benchmarks.queues.rooms import QUEUES

KILLS, JOBS = 4, 5
"""Workers that are killed of each queue, and the jobs that each has in hand: 20 trials."""

CUT_SECONDS = 330.0
"""No trial is waited for longer."""

_START_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Recovery:
    """Seconds of each trial that ended, by queue, the shortest first; the others were cut off after `cut`."""

    seconds: Mapping[str, Sequence[float]]
    cut: float


@dataclass(frozen=True, slots=True)
class _Scene:
    queue: str
    folder: Path
    url: str
    victim: Asked
    client: Asked


class Trials:
    """The trials of all queues, under way while other things are measured."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._began = monotonic()
        self._killed: dict[str, dict[Path, float]] = {queue: {} for queue in QUEUES}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def begin(self) -> None:
        """Kill one worker of each queue with jobs in hand, while another one stands by; and again."""
        dice = random.Random(1)
        for _ in range(KILLS):
            self._kill_one_of_each(dice.uniform(1, 4))
        self._began = monotonic()

    def _kill_one_of_each(self, seconds: float) -> None:
        """The jobs run for so many seconds, less than any queue lets a job run by default."""
        scenes = [self._scene(queue) for queue in QUEUES]
        for scene in scenes:
            scene.client.ask("held", JOBS)
        for scene in scenes:
            _wait_for_jobs(scene.folder)
            scene.client.kill()
            self._stack.enter_context(_worker(scene.queue, scene.url, scene.folder))
        sleep(seconds)
        for scene in scenes:
            scene.victim.kill()
            self._killed[scene.queue][scene.folder] = monotonic()

    def end(self) -> Recovery:
        """Wait for what is missing, up to the cut."""
        while (cut := monotonic() - self._began) < CUT_SECONDS:
            if all(len(self._ran(queue)) == KILLS * JOBS for queue in QUEUES):
                break
            sleep(1)
        return Recovery({queue: self._ran(queue) for queue in QUEUES}, cut)

    def _ran(self, queue: str) -> list[float]:
        killed = self._killed[queue].items()
        trials = [(folder / str(job) / RAN, at) for folder, at in killed for job in range(JOBS)]
        return sorted(float(file.read_text()) - at for file, at in trials if file.exists())

    def _scene(self, queue: str) -> _Scene:
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="sd-")))
        url = self._stack.enter_context(served())
        victim = self._stack.enter_context(_worker(queue, url, folder))
        return _Scene(queue, folder, url, victim, self._stack.enter_context(running(queue, "ask", url)))


def _worker(queue: str, url: str, folder: Path) -> AbstractContextManager[Asked]:
    return running(queue, "work", url, "0", str(JOBS), HOLD=str(folder))


def _wait_for_jobs(folder: Path) -> None:
    end = monotonic() + _START_SECONDS
    while len(list(folder.iterdir())) < JOBS:
        assert monotonic() < end, f"the jobs in {folder} did not begin"
        sleep(0.05)
