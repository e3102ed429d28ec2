"""The unit file, judged by systemd itself."""

from __future__ import annotations

import configparser
import re
import subprocess
from pathlib import Path

import pytest

from spacedockd.settings import DaemonSettings

UNIT = Path(__file__).parents[2] / "deploy/systemd/spacedockd.service"
EXPOSURE_LIMIT = 1.5


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The unit with a command that exists here: a missing one is an error to systemd."""
    text, replaced = re.subn(r"(?m)^ExecStart=\S+", "ExecStart=/bin/true", UNIT.read_text())
    assert replaced == 1
    copy = tmp_path / UNIT.name
    copy.write_text(text)
    return copy


def analysed(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["systemd-analyze", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def service() -> configparser.SectionProxy:
    parser = configparser.RawConfigParser(strict=False, allow_no_value=True)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(UNIT.read_text())
    return parser["Service"]


def test_systemd_has_no_complaint(installed: Path) -> None:
    done = analysed("verify", str(installed))
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_service_is_hardened(installed: Path) -> None:
    done = analysed("security", "--offline=yes", "--no-pager", str(installed))
    level = re.search(r"exposure level for \S+: ([\d.]+)", done.stdout)
    assert level is not None, done.stdout + done.stderr
    assert float(level[1]) <= EXPOSURE_LIMIT


def test_systemd_waits_longer_than_the_drain() -> None:
    drain = DaemonSettings.model_fields["drain_seconds"].default
    assert float(service()["TimeoutStopSec"]) >= drain + 20


def test_systemd_is_notified_and_watches() -> None:
    unit = service()
    assert (unit["Type"], unit["KillMode"]) == ("notify", "mixed")
    assert float(unit["WatchdogSec"]) > 0
