"""The Spaces of the compatibility cases, started ahead of the tests in their order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.apps import Apps
from tests.compat.case import VERSIONS
from tests.compat.cases import cases
from tests.compat.table import Table
from tests.layers import USUAL


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "version" in metafunc.fixturenames:
        whole = metafunc.config.getoption("--all-versions")
        metafunc.parametrize(("space", "version"), pairs(whole), scope="session")


def pairs(whole: bool) -> list[tuple[str, str]]:
    """Every (Space, version) that can express something; else each Space on one version, in turns."""
    spaces = dict.fromkeys(case.space for case in cases())
    found = [(space, version) for version in VERSIONS for space in spaces if _has(space, version)]
    if whole:
        return found
    chosen = []
    for number, space in enumerate(spaces):
        able = [version for version in sorted(USUAL) if (space, version) in found]
        chosen.append((space, able[number % len(able)]))
    return sorted(chosen, key=lambda pair: VERSIONS.index(pair[1]))


def _has(space: str, version: str) -> bool:
    return any(case.space == space and version not in case.lacks for case in cases())


@pytest.fixture(scope="session")
def apps(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apps]:
    """The Spaces of the tests that were chosen; each is there when its test begins."""
    running = Apps(tmp_path_factory.mktemp("compat"))
    mine = [item for item in request.session.items if item.path.parent == Path(__file__).parent]
    params = [item.callspec.params for item in mine if isinstance(item, pytest.Function)]
    running.expect((p["space"], p["version"]) for p in params)
    yield running
    running.close()


@pytest.fixture(scope="session")
def table(request: pytest.FixtureRequest) -> Iterator[Table]:
    """Where the tests note what came of each case; with --all-versions it is written to the docs."""
    noted = Table()
    yield noted
    if request.config.getoption("--all-versions"):
        noted.write()
