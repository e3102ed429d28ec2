"""A trial of a Space that cannot be begun: whose fault that is."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Never, cast

import pytest

from spacedock.result import ErrorKind, Stage
from spacedock_worker.errors import StepError
from spacedock_worker.images.hub import HubAwayError, fetch
from spacedock_worker.images.settings import ImageSettings
from spacedock_worker.jobs.space_step import SpaceRunner
from spacedock_worker.registry.entry import SpaceEntry
from spacedock_worker.validation.smoke_test import Trials
from spacedock_worker.validation.verdict import verdict

NOW = datetime(2025, 1, 2, 3, 4, tzinfo=UTC)


class Failing:
    """Stands in for the runner of Spaces: none is obtained."""

    def __init__(self, error: StepError) -> None:
        self._error = error

    async def run(self, *_: object) -> Never:
        raise self._error


@pytest.mark.parametrize(("kind", "known"), [(HubAwayError, False), (StepError, True)])
async def test_a_trial_that_the_hub_kept_from_beginning_is_no_verdict(kind: type, known: bool) -> None:
    error = kind(Stage.BUILD, ErrorKind.REPOSITORY_UNAVAILABLE, "it cannot be fetched")
    trial = await Trials(cast(SpaceRunner, Failing(error))).of(SpaceEntry(id="x", hub_id="m/x"), 1.0, print)
    assert (verdict(trial.checks, NOW, None, deep=True) is not None) is known


async def test_a_host_that_asks_the_hub_nothing_learns_nothing(tmp_path: Path) -> None:
    with pytest.raises(HubAwayError, match="asks the Hub nothing"):
        await fetch("m/x", None, tmp_path, ImageSettings(hub_offline=True))
