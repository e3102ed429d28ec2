"""What becomes of an idle container: running, paused, rested, stopped, gone (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from spacedock_worker.containers.settings import ContainerSettings
from spacedock_worker.containers.spec import ContainerSpec


class IdleState(StrEnum):
    """What is kept of an idle container; each costs less to keep than the one before, and more to use again.

    Measured: paused needs no CPU and is back in 10 to 16 ms; stopped needs no memory either, but the app
    starts anew; gone leaves the image. A rested one is as it was, but makes room for a batch.
    """

    PAUSED = "paused"
    RESTED = "rested"
    STOPPED = "stopped"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class IdleStep:
    """After so many seconds without a call, this."""

    after: float
    state: IdleState


def idle_steps(
    spec: ContainerSpec, settings: ContainerSettings, *, gpu: bool, rested: float
) -> Sequence[IdleStep]:
    """The steps for a container that has `rested` after so long, the first to come first, until it gives up
    its room.

    Pausing does not free a GPU, nor is it safe under a driver: such containers skip it.
    """
    steps = [IdleStep(rested, IdleState.RESTED)]
    if not gpu:
        steps.append(IdleStep(settings.pause_seconds, IdleState.PAUSED))
    steps = [step for step in steps if step.after < settings.idle_seconds]
    return (
        *sorted(steps, key=lambda step: step.after),
        IdleStep(settings.idle_seconds, when_given_up(spec, settings)),
    )


def when_given_up(spec: ContainerSpec, settings: ContainerSettings) -> IdleState:
    """What becomes of a container that must give up its room.

    Creating takes 10 ms of a start: what a stopped container saves is what its app wrote to its root, such
    as models that it downloaded. Where it cannot write there, and where nothing of a private call may stay,
    nothing is worth keeping.
    """
    worth = not spec.read_only and not spec.private and settings.stopped_seconds > 0
    return IdleState.STOPPED if worth else IdleState.GONE
