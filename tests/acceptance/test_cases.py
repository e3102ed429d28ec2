"""Spaces and batches of strangers, by the command line: each is answered, or refused with the remedy.

The inputs are in `tests/cases/KIND/NAME`, and what is right in `tests/cases/expected_*.yaml`: `case`
(KIND/NAME), `args` after `spacedock run`, for a batch after its name in `spacedock batch` (`{cases}` is the
folder of all cases); `add`, options with which the Space is added to the registry first; `exit`, and `answer`
or `refusal`: regular expressions found in standard output and standard error. `answers` of a batch are of
the texts that come, by line, each line once. `slow: true`: only in `make test-full`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.acceptance.running import Daemon

CASES = Path(__file__).parent.parent / "cases"
SECONDS, SLOW_SECONDS = 400, 1100


def rows() -> list[dict[str, Any]]:
    tables = sorted(CASES.glob("expected_*.yaml"))
    return [row for table in tables for row in yaml.safe_load(table.read_text())]


def added(daemon: Daemon, case: Path, options: list[str]) -> str:
    """The name of a case's Space in the registry, there with these options."""
    ran = daemon.spacedock("spaces", "add", case.name, "--dir", case, *options)
    assert ran.code == 0, ran.err
    return case.name


@pytest.mark.parametrize("row", rows(), ids=lambda row: row["case"])
def test_a_case_is_answered_or_refused_as_it_should(
    daemon: Daemon, row: dict[str, Any], pytestconfig: pytest.Config
) -> None:
    if row.get("slow") and not pytestconfig.getoption("--all-versions"):
        pytest.skip("builds for long: make test-full")
    case = CASES / row["case"]
    arguments = [str(argument).replace("{cases}", str(CASES)) for argument in row["args"]]
    if row["case"].startswith("batch/"):
        ran = daemon.spacedock("batch", case, *arguments, limit=SECONDS)
    else:
        space = added(daemon, case, row["add"]) if "add" in row else case
        limit = SLOW_SECONDS if row.get("slow") else SECONDS
        ran = daemon.spacedock("run", *arguments, "--space", space, "--no-fallback", limit=limit)
    assert ran.code == row["exit"], f"{ran.out}\n{ran.err}"
    for pattern, said in ((row.get("answer"), ran.out), (row.get("refusal"), ran.err)):
        assert pattern is None or found(pattern, said), f"{pattern}\n{ran.out}\n{ran.err}"
    if answers := row.get("answers"):
        results = [json.loads(line) for line in ran.out.splitlines()]
        assert sorted(result["line"] for result in results) == sorted(answers)
        for result in results:
            assert found(answers[result["line"]], result["output"]["text"]), result


def found(pattern: str, said: str) -> bool:
    return re.search(pattern, said, re.DOTALL | re.MULTILINE) is not None
