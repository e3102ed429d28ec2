"""Real Spaces for integration tests: built, started once for the whole run, and removed at its end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import pytest
from tests.apps import Apps

RunningApp = Callable[[str, str], Awaitable[str]]


@pytest.fixture(scope="session")
def all_apps(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apps]:
    """The Spaces that integration tests share."""
    running = Apps(tmp_path_factory.mktemp("apps"))
    yield running
    running.close()


@pytest.fixture(scope="module")
def apps(all_apps: Apps) -> Iterator[Apps]:
    """The same, given back when a file's tests are over: what the next file does not use takes no CPU."""
    yield all_apps
    all_apps.rest()


@pytest.fixture
def running_app(apps: Apps) -> RunningApp:
    """`await running_app("components", "5.50.0")` gives the base URL of that Space, running."""

    async def start(name: str, sdk_version: str) -> str:
        return await asyncio.to_thread(apps.url, name, sdk_version)

    return start
