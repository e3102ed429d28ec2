"""What the clean-up says, and the ages that it takes."""

from __future__ import annotations

import pytest

from spacedock._wire.retention import seconds_of
from spacedock.cli.commands.cleanup import lines
from spacedock.cli.commands.spaces.app import state
from spacedock.cli.output.units import age, size
from spacedock.errors import BadRequestError
from spacedock.replies.spaces import SpaceHere
from spacedock_worker.cleanup.report import Report
from spacedock_worker.containers.pool.view import SpaceStatus
from spacedock_worker.control.spaces import state_of


@pytest.mark.parametrize(
    ("text", "seconds"), [("24h", 86_400), ("90m", 5400), ("7d", 604_800), ("30", 30), ("1.5H", 5400)]
)
def test_ages(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "-1h", "1w", "1h30m", "inf", "nan"])
def test_what_is_no_age_is_told(text: str) -> None:
    with pytest.raises(BadRequestError, match="24h"):
        seconds_of(text)


def test_sizes_and_times_are_for_people() -> None:
    assert [size(n) for n in (0, 999, 1500, 193_596_484, 2_500_000_000, 5e12, None)] == [
        "0 B",
        "999 B",
        "1.5 kB",
        "194 MB",
        "2.5 GB",
        "5000 GB",
        "-",
    ]
    assert (age(59.6), age(61), age(5)) == ("1 min 0 s", "1 min 1 s", "5 s")


def test_the_report_names_what_has_a_name_and_sums_the_rest() -> None:
    report = Report(dry_run=True)
    report.add("results", 2000, count=3)
    report.add("files", 0, count=0)
    report.add("images", 5_000_000, "mood:1")
    assert lines(report.told()) == [
        "  images: mood:1, 5.0 MB",
        "jobs' records: 3, 2.0 kB",
        "images: 1, 5.0 MB",
        "would free 5.0 MB",
    ]
    assert lines(Report(dry_run=False).told()) == ["freed 0 B"]


def test_a_space_is_in_the_state_of_its_warmest_container() -> None:
    both = SpaceStatus({"paused": 1, "stopped": 2})
    assert state_of(both, has_image=True) == "paused"
    assert state_of(SpaceStatus(), has_image=True) == "image only"
    assert state_of(SpaceStatus(), has_image=False) == "not here"
    held = SpaceStatus({"running": 1}, quarantined_for=75.0, reason="it crashes")
    assert state_of(held, has_image=True) == "quarantined"
    row: SpaceHere = {
        "state": "quarantined",
        "containers": {"running": 1},
        "quarantined_for": 75.0,
        "reason": "it crashes",
        "image_bytes": None,
        "cache_bytes": None,
    }
    assert state(row) == "quarantined, 1 min 15 s to go"
    assert state(None) == "-"
