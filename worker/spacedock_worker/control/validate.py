"""The answers to `spacedock spaces validate`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from spacedock._wire.rpc import ValidateOptions
from spacedock.errors import BadRequestError, SpaceNotFoundError
from spacedock.replies.spaces import ValidateReply
from spacedock_worker.control.dispatcher import Asked
from spacedock_worker.control.registry import entry_of
from spacedock_worker.registry.entry import SpaceEntry, Verdict
from spacedock_worker.registry.registry import Registry
from spacedock_worker.validation.findings import FindingsCollector
from spacedock_worker.validation.smoke_test import Trial, Trials
from spacedock_worker.validation.static_checks import checks_of
from spacedock_worker.validation.verdict import Check, Findings, Mark, told, verdict


class ValidateHandler:
    """Validates one Space a call, and keeps the verdict in the registry, if that has the Space.

    `now` gives the time in UTC.
    """

    def __init__(
        self,
        registry: Registry,
        collector: FindingsCollector,
        trials: Trials,
        now: Callable[[], datetime],
    ) -> None:
        self._registry, self._collector, self._trials, self._now = registry, collector, trials, now

    async def answer(self, asked: Asked[ValidateOptions]) -> ValidateReply:
        """The checks and the verdict. Raises BadRequestError, SpaceNotFoundError."""
        options, tell, name = asked.options, asked.on_progress, asked.call.name
        if not name:
            raise BadRequestError("the call names no Space")
        entry, listed = entry_of(self._registry.snapshot(), name)
        found = await self._collector.of(entry, self._registry, tell, trying=options.deep)
        checks, trial = list(checks_of(found)), None
        if options.deep and all(check.mark is not Mark.BAD for check in checks):
            trial = await self._trials.of(entry, options.timeout, tell)
            checks += trial.checks
        made = verdict(checks, self._now(), _digest(found, trial), deep=trial is not None)
        stored = made is not None and listed and await self._store(entry, made)
        return _row(name, checks, made, trial, stored=stored)

    async def _store(self, entry: SpaceEntry, made: Verdict) -> bool:
        """Keep the verdict, unless a trial of the same image says so already; whether there is one now."""
        name, before = entry.id, entry.verified
        if isinstance(before, Verdict) and _says_more(before, made):
            return True
        try:
            await self._registry.judge(name, made)
        except SpaceNotFoundError:
            # It was removed while it was looked at.
            return False
        return True


def _says_more(before: Verdict, made: Verdict) -> bool:
    same = (before.digest, before.works) == (made.digest, made.works)
    return same and before.deep and not made.deep


def _digest(found: Findings, trial: Trial | None) -> str | None:
    """The image that was judged: the one that ran, that is here, or that would be pulled."""
    if trial is not None and trial.digest is not None:
        return trial.digest
    if found.here is not None:
        return found.here.digest
    return found.offer.digest if found.offer is not None else None


def _row(
    name: str, checks: Sequence[Check], made: Verdict | None, trial: Trial | None, *, stored: bool
) -> ValidateReply:
    return {
        "name": name,
        "works": made.works if made else None,
        "reason": made.reason if made else "what decides it could not be asked",
        "at": made.at.isoformat() if made else None,
        "digest": made.digest if made else None,
        "deep": trial is not None,
        "checks": [told(check) for check in checks],
        "endpoint": trial.endpoint if trial else None,
        "endpoints": trial.endpoints if trial else [],
        "seconds": {kind: round(value, 3) for kind, value in trial.seconds.items()} if trial else {},
        "stored": stored,
    }
