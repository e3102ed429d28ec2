"""What runs of a Space say together: how often it answers, how fast, and with how much memory (pure)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

BLAMELESS = frozenset(
    {
        "skipped",
        "space_not_found",
        "docker_unavailable",
        "pull_failed",
        "repository_unavailable",
        "quarantined",
        "bad_input",
        "model_unavailable",
        "cancelled",
        "worker_lost",
        "internal",
    }
)
"""Kinds of errors that say nothing of the Space: what was asked, the host or the network was at fault.

A Space in quarantine was not run at all: the failures that brought it there count already.
"""


@dataclass(frozen=True, slots=True)
class Run:
    """One call of a Space's app, or one run of its program, as far as it came.

    `digest` is the image's (empty where it never came to one), `space` the registry's id of it, `at` when it
    ended (seconds since the epoch). `kind` says why it failed, None where it is `ok`. `start_seconds` is what
    the start took (None: it was warm, or did not start), `call_seconds` the call; `peak_memory` are the most
    bytes that its container was seen to use until then.
    """

    digest: str
    space: str
    at: float
    ok: bool
    kind: str | None
    start_seconds: float | None
    call_seconds: float | None
    peak_memory: int | None

    @property
    def counts(self) -> bool:
        """Whether it says something of the Space."""
        return self.ok or self.kind not in BLAMELESS


@dataclass(frozen=True, slots=True)
class Measured:
    """What the last runs of one image came to; seconds and bytes, None where nothing was measured.

    The times of calls are those of the runs that succeeded; `starts` is how many starts were measured,
    `last` when the last run ended (seconds since the epoch), `errors` how often it failed by kind.
    """

    space: str
    digest: str
    runs: int
    succeeded: int
    start_p50: float | None
    start_max: float | None
    call_p50: float | None
    call_p95: float | None
    peak_memory: int | None
    last: float
    starts: int = 0
    errors: Mapping[str, int] = field(default_factory=dict)

    @property
    def success_rate(self) -> float:
        """The share of the runs that succeeded, 0 to 1; 0 where there were none."""
        return self.succeeded / self.runs if self.runs else 0.0


def measured(runs: Sequence[Run], earlier_starts: Iterable[float] = ()) -> Measured:
    """What these runs of one image, at least one, come to; with what starts before them took, in seconds."""
    starts = sorted([*earlier_starts, *(run.start_seconds for run in runs if run.start_seconds is not None)])
    calls = sorted(run.call_seconds for run in runs if run.ok and run.call_seconds is not None)
    last = max(runs, key=lambda run: run.at)
    return Measured(
        space=last.space,
        digest=last.digest,
        runs=len(runs),
        succeeded=sum(run.ok for run in runs),
        start_p50=percentile(starts, 0.5),
        start_max=starts[-1] if starts else None,
        call_p50=percentile(calls, 0.5),
        call_p95=percentile(calls, 0.95),
        peak_memory=max((run.peak_memory for run in runs if run.peak_memory is not None), default=None),
        last=last.at,
        starts=len(starts),
        errors=dict(Counter(run.kind or "unknown" for run in runs if not run.ok).most_common()),
    )


def percentile(ordered: Sequence[float], share: float) -> float | None:
    """The least of the ordered values that `share` of them do not pass (nearest rank); None of none."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None
