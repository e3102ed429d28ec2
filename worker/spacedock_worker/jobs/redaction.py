"""Privacy mode's words: what is told of a private job in place of what its app says."""

from __future__ import annotations

from collections.abc import Callable

from spacedock.result import ErrorKind, Stage
from spacedock_worker.errors import StepError

Tells = Callable[[Stage, str, str, str | None], None]

_STAGES = {
    Stage.PLAN: "planning",
    Stage.PULL: "getting its image",
    Stage.BUILD: "getting its image",
    Stage.WAIT: "waiting for its turn",
    Stage.START: "starting its container",
    Stage.READY: "getting its container ready",
    Stage.CALL: "asking",
    Stage.OUTPUT: "reading its answer",
}

_HINTS = {
    ErrorKind.OUT_OF_MEMORY: " Raise `memory` for this Space.",
    ErrorKind.TIMEOUT: " Give it longer with --timeout.",
    ErrorKind.DOCKER_UNAVAILABLE: " Try `docker info`.",
}

_BEFORE_THE_APP = frozenset({Stage.PLAN, Stage.PULL, Stage.BUILD})
"""Stages in which nothing has seen the job's prompt or files."""


def discreet(tell: Tells) -> Tells:
    """Tells each stage in fixed words, once: an app's messages, and its growing text, may quote the job."""
    last: tuple[Stage, str] | None = None

    def fixed(stage: Stage, name: str, message: str, partial: str | None) -> None:
        nonlocal last
        if last != (stage, name):
            last = (stage, name)
            tell(stage, name, _STAGES[stage], None)

    return fixed


def withheld(error: StepError) -> str:
    """What an attempt may say of the error: its kind, but no words of the app or of the engine."""
    if error.ours or error.stage in _BEFORE_THE_APP:
        return str(error)
    kind = error.kind.value.replace("_", " ")
    return f"{kind}; the details are withheld in privacy mode.{_HINTS.get(error.kind, '')}"
