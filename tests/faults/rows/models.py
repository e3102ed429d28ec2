"""Row 7: model endpoints that refuse, load, hang, break off, or answer nonsense."""

from __future__ import annotations

from tests.faults.account import Account, Case, Row
from tests.faults.suite import suite


async def _endpoint(trials: int) -> Account:
    return await suite(trials, "tests/unit/test_models_client.py", "tests/unit/test_models_cases.py")


ROW = Row(
    7,
    "Model endpoints",
    (
        Case(
            "endpoint",
            "refused, 503 while loading, silent, cut off, garbled, empty, only thoughts, 10 MB: a test each",
            _endpoint,
            5,
        ),
    ),
)
