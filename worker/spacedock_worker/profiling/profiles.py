"""The profiles of this host's Spaces: their last runs by image, remembered over restarts."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from spacedock_worker.profiling.measured import Measured, Run, measured
from spacedock_worker.profiling.run_file import KEPT_STARTS, RunFile

__all__ = ["FILE", "Measured", "ProfileStore", "Run"]

FILE = "profiles.sqlite"
RUNS_PER_IMAGE = 500
IMAGES = 10_000
RUNS = 100_000

_Key = tuple[str, str]


@dataclass(slots=True)
class _Image:
    """The last runs of a Space on one image, and what they come to, once that was asked.

    Of runs before these it keeps what their starts took: those are rare where a Space stays warm.
    """

    runs: deque[Run]
    earlier_starts: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT_STARTS))
    summary: Measured | None = field(default=None)

    def add(self, run: Run) -> bool:
        """Take a run; True where an older one had to go for it."""
        full = len(self.runs) == self.runs.maxlen
        if full and (start := self.runs[0].start_seconds) is not None:
            self.earlier_starts.append(start)
        self.runs.append(run)
        self.summary = None
        return full

    def measured(self) -> Measured:
        if self.summary is None:
            self.summary = measured(self.runs, self.earlier_starts)
        return self.summary


class ProfileStore:
    """Remembers runs: the last 500 of an image, of 10,000 images, and 100,000 in all; the least used go.

    Everything is answered from memory; a thread writes behind. Any thread may call, and no method waits for
    the disk: a file that cannot be written costs what it would have remembered, no more. A store that is not
    opened remembers nothing beyond this life.
    """

    def __init__(
        self,
        path: Path = Path(FILE),
        per_image: int = RUNS_PER_IMAGE,
        images: int = IMAGES,
        runs: int = RUNS,
    ):
        self._file = RunFile(path)
        self._per_image, self._most_images, self._most_runs = per_image, images, runs
        # By Space and digest; the one that ran last comes last.
        self._images: OrderedDict[_Key, _Image] = OrderedDict()
        self._of_space: dict[str, OrderedDict[str, None]] = {}
        self._of_digest: dict[str, OrderedDict[str, None]] = {}
        self._count = 0
        self._lock = threading.RLock()

    def open(self) -> None:
        """Read what is remembered, and write from now on; blocks. Never raises for the file."""
        with self._lock:
            for run in self._file.open():
                self._add(run)
            for image in self._images.values():
                # Here, where somebody waits for the disk anyway.
                image.measured()

    def close(self) -> None:
        """Write what is left to write; bounded, safe to call twice."""
        self._file.close()

    def note(self, run: Run) -> None:
        """Remember a run, unless its failure says nothing of the Space."""
        if not run.counts:
            return
        with self._lock:
            if self._add(run):
                self._file.trim(run.space, run.digest, self._per_image - 1)
            self._file.add(run)

    def peaked(self, digest: str, memory: int) -> None:
        """A container of the image, which ran last, was seen to use so many bytes."""
        with self._lock:
            image = self._newest(digest)
            if image is None or memory <= (image.runs[-1].peak_memory or 0):
                return
            last = image.runs[-1] = replace(image.runs[-1], peak_memory=memory)
            image.summary = None
            self._file.peaked(last.space, digest, memory)

    def of(self, digest: str, space: str | None = None) -> Measured | None:
        """What was measured of the image, by that Space alone if one is given; None where it has not run."""
        with self._lock:
            image = self._newest(digest) if space is None else self._images.get((space, digest))
            return image.measured() if image else None

    def of_space(self, space: str) -> Measured | None:
        """What was measured of the Space's newest image; None where it has not run.

        Runs that came to no image stand for the Space only where none ever did.
        """
        with self._lock:
            digests: OrderedDict[str, None] = self._of_space.get(space, OrderedDict())
            digest = next((digest for digest in reversed(digests) if digest), "")
            return self._images[space, digest].measured() if digest in digests else None

    def images(self, space: str) -> tuple[Measured, ...]:
        """What was measured of each of the Space's images, the newest first."""
        with self._lock:
            digests = self._of_space.get(space, ())
            return tuple(self._images[space, digest].measured() for digest in reversed(tuple(digests)))

    def all(self) -> Mapping[str, Measured]:
        """`of_space` of every Space that has run."""
        with self._lock:
            found = {space: self.of_space(space) for space in self._of_space}
            return {space: one for space, one in found.items() if one is not None}

    def history(self, space: str, limit: int) -> tuple[Run, ...]:
        """The Space's last runs, at most so many, the oldest of them first."""
        with self._lock:
            digests = self._of_space.get(space, ())
            runs = [run for digest in digests for run in self._images[space, digest].runs]
        return tuple(sorted(runs, key=lambda run: run.at)[-limit:]) if limit > 0 else ()

    def forget(self, space: str) -> None:
        """Forget every run of the Space."""
        with self._lock:
            for digest in tuple(self._of_space.get(space, ())):
                self._drop((space, digest))

    def _add(self, run: Run) -> bool:
        """Remember the run in memory; True where an older one of its image had to go for it."""
        key = (run.space, run.digest)
        image = self._images.get(key)
        if image is None:
            image = self._images[key] = _Image(deque(maxlen=self._per_image))
        full = image.add(run)
        self._count += not full
        self._images.move_to_end(key)
        for table, name, other in self._tables(key):
            found = table.setdefault(name, OrderedDict())
            found[other] = None
            found.move_to_end(other)
        while len(self._images) > self._most_images or self._count > max(self._most_runs, self._per_image):
            self._drop(next(iter(self._images)))
        return full

    def _drop(self, key: _Key) -> None:
        self._count -= len(self._images.pop(key).runs)
        for table, name, other in self._tables(key):
            del table[name][other]
            if not table[name]:
                del table[name]
        self._file.forget(*key)

    def _tables(self, key: _Key) -> tuple[tuple[dict[str, OrderedDict[str, None]], str, str], ...]:
        """Where an image is found by its Space, and by its digest."""
        return (self._of_space, key[0], key[1]), (self._of_digest, key[1], key[0])

    def _newest(self, digest: str) -> _Image | None:
        """The image, for the Space that ran on it last."""
        spaces = self._of_digest.get(digest)
        return self._images[next(reversed(spaces)), digest] if spaces else None
