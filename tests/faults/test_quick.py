"""The quick share of `make faults`: some cases, tried once each."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.faults import ground
from tests.faults.__main__ import every_row
from tests.faults.account import CannotRunError, Case
from tests.faults.growth import KEPT_KB, slopes

QUICK = [
    pytest.param(case, id=f"{row.number}.{case.name}")
    for row in every_row()
    for case in row.cases
    if case.quick
]


@pytest.mark.parametrize("case", QUICK)
async def test_a_fault_loses_doubles_and_condemns_no_job(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    # How soon a process is back, or what is left is gone, says more of a busy machine than of the code.
    monkeypatch.setattr(ground, "LEFT_SECONDS", 60.0)
    try:
        account = await case.run(case.quick)
    except CannotRunError as error:
        pytest.skip(str(error))
    assert replace(case, limit=None).faults(account) == []


def soaked(name: str, more: float) -> tuple[str, ...]:
    """What falls short in a soak of 800 jobs, in which that figure grows by so much for each."""
    return slopes([(jobs, {name: 30 + more * jobs}) for jobs in range(0, 800, 20)])[1]


def test_a_soak_lets_results_be_kept_and_nothing_leak() -> None:
    kept, pooled = 0.9 * KEPT_KB / 1024, 15 / 800
    assert soaked("MB of the valkey", kept) == soaked("connections of the worker", pooled) == ()
    for leak in ("files of the worker", "connections of the worker", "containers", "MB of the worker"):
        assert soaked(leak, 0.1) != ()
    assert soaked("MB in the state directory", 2 * kept) != ()
