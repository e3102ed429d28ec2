"""The quick share of `make faults`: some cases, tried once each."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.faults.__main__ import every_row
from tests.faults.account import CannotRunError, Case

QUICK = [
    pytest.param(case, id=f"{row.number}.{case.name}")
    for row in every_row()
    for case in row.cases
    if case.quick
]


@pytest.mark.parametrize("case", QUICK)
async def test_a_fault_loses_doubles_and_condemns_no_job(case: Case) -> None:
    try:
        account = await case.run(case.quick)
    except CannotRunError as error:
        pytest.skip(str(error))
    # How soon a process is back says more of a busy machine than of the code.
    assert replace(case, limit=None).faults(account) == []
