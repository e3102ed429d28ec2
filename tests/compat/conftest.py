"""The Spaces of the compatibility cases, those of one Gradio after those of another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path

import pytest
from tests.apps import TOGETHER, Apps
from tests.compat.case import VERSIONS
from tests.compat.cases import cases
from tests.compat.table import Table
from tests.layers import USUAL

UrlOf = Callable[[str, str], str]


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
def url_of(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[UrlOf]:
    """Where a Space of the tests that were chosen answers: those of one Gradio share a container."""
    apps = Apps(tmp_path_factory.mktemp("compat"))
    mine = [item for item in request.session.items if item.path.parent == Path(__file__).parent]
    chosen = [item.callspec.params for item in mine if isinstance(item, pytest.Function)]

    @lru_cache(maxsize=1)
    def urls(version: str) -> dict[str, str]:
        if running:
            apps.end(TOGETHER, running.pop())
        running.append(version)
        return apps.together((one["space"] for one in chosen if one["version"] == version), version)

    running: list[str] = []
    yield lambda space, version: urls(version)[space]
    apps.close()


@pytest.fixture(scope="session")
def table(request: pytest.FixtureRequest) -> Iterator[Table]:
    """Where the tests note what came of each case; with --all-versions it is written to the docs."""
    noted = Table()
    yield noted
    if request.config.getoption("--all-versions"):
        noted.write()
