"""The log of a build by BuildKit, as it comes (pure)."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable

from spacedock_worker.images.progress import buildkit_progress

_KEPT_LINES = 400
_LONGEST_LINE = 4096
_SAID = re.compile(r"#(\d+) \d+\.\d+ (.*)")
_FAILED = re.compile(r"#(\d+) ERROR:")
_ERROR = re.compile(r"ERROR: (?:failed to solve: )?(.*)")


class Hearing:
    """What BuildKit says, line by line: the steps for people, and what the one that failed said itself.

    Stages are built beside each other, so that their lines are mixed; each has the number of its step.
    """

    def __init__(self, on_progress: Callable[[str], None]) -> None:
        self.error = self.last = ""
        self._lines: deque[tuple[str, str]] = deque(maxlen=_KEPT_LINES)
        self._failed = ""
        self._on_progress, self._rest = on_progress, ""

    @property
    def said(self) -> list[str]:
        """The last lines of the step that failed; of all, where none did."""
        return [line for step, line in self._lines if self._failed in ("", step)]

    def hear(self, text: str) -> None:
        """Take the next piece of the log, which may end within a line."""
        *lines, rest = (self._rest + text).split("\n")
        self._rest = rest[:_LONGEST_LINE]
        for line in lines:
            self._line(line)

    def _line(self, line: str) -> None:
        if step := buildkit_progress(line):
            self._on_progress(step)
        elif said := _SAID.match(line):
            self._lines.append((said[1], said[2]))
        elif failed_step := _FAILED.match(line):
            self._failed = failed_step[1]
        elif error := _ERROR.match(line):
            self.error = error[1].strip()
        elif line.startswith("engine: "):
            self._lines.append(("", line.removeprefix("engine: ")))
        elif line and not line.startswith("#"):
            # What the engine says where it can neither load nor save an image.
            self.last = line
