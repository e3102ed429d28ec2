"""A host that starts no Space: said; and a batch stopped before it takes others' answers for a Space's."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from spacedock.cli.output.text import say
from spacedock.client import Client
from spacedock.errors import JobNotFoundError
from spacedock.result import JobResult


def say_host_fault(result: JobResult) -> None:
    """Say what keeps the host from starting Spaces, if the job met such a fault."""
    if result.host_fault is not None:
        say(f"this host starts no Space: {result.host_fault}")


def say_how_to_go_on(left: str, again: str) -> None:
    """Say what became of a stopped batch: what is left, such as "1 line has", and what asks again."""
    mend = "Mend the host (see `spacedock tiers`)"
    say(f"stopped: {left} no answer of a Space. {mend}; the same command {again}")
    say("to go on with the answers of language models, add --allow-degraded")


async def call_off(client: Client, job_ids: Sequence[str]) -> None:
    """Cancel what is left of a batch; what has ended stays as it is."""
    # The last first: those that run end when none is left to take their place.
    for job_id in reversed(job_ids):
        with suppress(JobNotFoundError):
            await client.cancel(job_id)
