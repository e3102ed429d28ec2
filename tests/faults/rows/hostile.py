"""Row 11: Spaces, images and submitters that mean harm, in each role of Redis."""

from __future__ import annotations

from tests.faults.account import Account, Case, Row
from tests.faults.suite import suite


async def _submitters(trials: int) -> Account:
    names = ("test_rights", "test_strangers", "test_users", "test_queue_privacy")
    return await suite(trials, *(f"tests/integration/queue/{name}.py" for name in names))


async def _spaces(trials: int) -> Account:
    return await suite(trials, "tests/integration/hostile")


async def _replaced(trials: int) -> Account:
    return await suite(trials, "tests/acceptance/test_strangers.py")


ROW = Row(
    11,
    "Hostile Spaces, images and submitters",
    (
        Case("submitters", "raw commands to Redis in the roles submit, operate and host", _submitters, 1),
        Case("spaces", "Spaces and programs that try the kernel, the network and the reader", _spaces, 1),
        Case("replaced", "code, files and names replaced through Redis", _replaced, 1),
    ),
)
