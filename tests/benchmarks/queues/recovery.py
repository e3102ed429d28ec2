"""Row 4: how long the jobs of a worker that was killed wait until another one runs them."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep

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


class Trials:
    """The trials of all queues, under way while other things are measured."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._began = monotonic()
        self._killed: dict[str, dict[Path, float]] = {queue: {} for queue in QUEUES}

    def begin(self) -> None:
        """Start workers with jobs in hand and others beside them, and kill the first."""
        victims = [(queue, *self._victim(queue)) for queue in QUEUES for _ in range(KILLS)]
        for _, folder, _, _ in victims:
            _wait_for_jobs(folder)
        for queue, folder, url, _ in victims:
            self._stack.enter_context(_worker(queue, url, folder))
        # They have no way of saying that they are up.
        sleep(5)
        dice = random.Random(1)
        dice.shuffle(victims)
        for queue, folder, _, victim in victims:
            sleep(dice.uniform(0, 0.5))
            victim.kill()
            self._killed[queue][folder] = monotonic()
        self._began = monotonic()

    def end(self) -> Recovery:
        """Wait for what is missing, up to the cut; then stop all processes."""
        with self._stack:
            while (cut := monotonic() - self._began) < CUT_SECONDS:
                if all(len(self._ran(queue)) == KILLS * JOBS for queue in QUEUES):
                    break
                sleep(1)
            return Recovery({queue: self._ran(queue) for queue in QUEUES}, cut)

    def _ran(self, queue: str) -> list[float]:
        killed = self._killed[queue].items()
        trials = [(folder / str(job) / RAN, at) for folder, at in killed for job in range(JOBS)]
        return sorted(float(file.read_text()) - at for file, at in trials if file.exists())

    def _victim(self, queue: str) -> tuple[Path, str, Asked]:
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="sd-")))
        url = self._stack.enter_context(served())
        with running(queue, "ask", url) as client:
            client.ask("held", JOBS)
        return folder, url, self._stack.enter_context(_worker(queue, url, folder))


def _worker(queue: str, url: str, folder: Path) -> AbstractContextManager[Asked]:
    return running(queue, "work", url, "0", str(JOBS), HOLD=str(folder))


def _wait_for_jobs(folder: Path) -> None:
    end = monotonic() + _START_SECONDS
    while len(list(folder.iterdir())) < JOBS:
        assert monotonic() < end, f"the jobs in {folder} did not begin"
        sleep(0.05)
