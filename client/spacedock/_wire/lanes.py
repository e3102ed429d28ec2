"""Lanes: whose jobs wait together, and are served in turn with those of others (docs/decisions/0029).

A batch is a lane, and so are the single prompts of one client. Within a lane jobs wait by their target: the
Space that they name. Each target's jobs are a sorted set, by the time from which they may run.
"""

from __future__ import annotations

import re
from enum import StrEnum

WEIGHTS = {"high": 16.0, "normal": 4.0, "low": 1.0}
"""What one second of a lane counts: low has a share of 1 in 21 where all three wait."""


_ODD = re.compile(r"[^\w.@-]+")
_LANE_CHARS = 100


class Priority(StrEnum):
    """How much of the hosts a lane gets while others wait: shares of 16, 4 and 1."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


def lane(priority: Priority, batch: str | None, client: str) -> str:
    """The lane of a job: its batch's, else the one of its client's single prompts."""
    kind, name = ("batch", batch) if batch else ("client", client)
    return f"{priority.value}:{kind}:{written(name)}"


def of_steps(lane: str) -> str:
    """Where the steps of a pipeline's run wait: with its client's prompts, or in a lane beside its batch's.

    A batch counts the jobs of its own lane: its runs, and not their steps.
    """
    return lane.replace(":batch:", ":steps:", 1)


def written(name: str) -> str:
    """The name of a batch or a client in the form that its lane's name uses."""
    return _ODD.sub("_", name)[:_LANE_CHARS]


def is_named(target: str) -> bool:
    """Whether a target is a Space's name in a registry, which not every host may have."""
    return bool(target) and not target.startswith("tier:") and "/" not in target


def batch_of(lane: str) -> str | None:
    """The id of the batch whose lane that is, or in which the steps of its runs wait."""
    return _name_of(lane, "batch") or _name_of(lane, "steps")


def client_of(lane: str) -> str | None:
    """The client whose single prompts wait in that lane."""
    return _name_of(lane, "client")


def _name_of(lane: str, wanted: str) -> str | None:
    _, kind, name = [*lane.split(":", 2), "", ""][:3]
    return name if kind == wanted else None


def weight(lane: str) -> float:
    """What a second counts in that lane."""
    return WEIGHTS.get(lane.partition(":")[0], WEIGHTS["normal"])
