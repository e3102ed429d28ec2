"""What `spacedock doctor` tells: a line for each thing that was looked at."""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypedDict


class DoctorLine(TypedDict):
    """How one thing stands: the `area` and the `subject` in it, and the `command` that mends it.

    "warning" is what will be missed one day, "error" what keeps jobs from their answers now.
    """

    area: str
    subject: str
    state: Literal["ok", "warning", "error"]
    message: str
    command: str | None


class DoctorReply(TypedDict):
    """What a worker found on its host."""

    lines: list[DoctorLine]


class Area:
    """Makes the lines of one area."""

    def __init__(self, name: str) -> None:
        self._name = name

    def ok(self, subject: str, message: str) -> DoctorLine:
        """Nothing is to be done."""
        return {"area": self._name, "subject": subject, "state": "ok", "message": message, "command": None}

    def warning(self, subject: str, message: str, command: str) -> DoctorLine:
        """Jobs run, and something is to be done."""
        return {**self.ok(subject, message), "state": "warning", "command": command}

    def error(self, subject: str, message: str, command: str) -> DoctorLine:
        """Something has to be done before jobs run."""
        return {**self.ok(subject, message), "state": "error", "command": command}
