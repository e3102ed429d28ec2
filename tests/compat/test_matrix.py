"""Every test Space on the versions of Gradio that can express it: the right answer to the right call."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.apps import LOGINS
from tests.compat.cases import cases
from tests.compat.conftest import UrlOf
from tests.compat.outcome import official, ours
from tests.compat.table import Table

from spacedock_worker.adapters.base import Adapter
from spacedock_worker.adapters.detect import Access, Opener


@pytest.fixture
def url(url_of: UrlOf, space: str, version: str) -> str:
    return url_of(space, version)


@pytest.fixture
async def app(url: str, space: str) -> AsyncIterator[Adapter]:
    adapter = await Opener().connect_to("sha256:test", Access(login=LOGINS.get(space)))(url)
    assert adapter is not None
    yield adapter
    await adapter.aclose()


# What httpx warns of is gradio_client's business.
@pytest.mark.filterwarnings("ignore:Setting per-request cookies:DeprecationWarning")
async def test_every_call_has_the_right_answer(
    app: Adapter, url: str, space: str, version: str, table: Table, request: pytest.FixtureRequest
) -> None:
    beside = request.config.getoption("--all-versions")
    wrong = []
    for case in cases():
        if case.space != space or version in case.lacks:
            continue
        outcome = await ours(case, app)
        table.note(case, version, outcome, await official(case, url, version) if beside else None)
        if not outcome.right:
            wrong.append(f"{case.name}: {outcome.why}")
    assert not wrong, "\n".join(wrong)
