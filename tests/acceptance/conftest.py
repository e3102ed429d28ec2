"""Real daemons for acceptance tests: the real command, real signals, a state directory of their own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.acceptance.running import Daemon, new_daemon

StartDaemon = Callable[..., Daemon]

_LAST_LINES = 60


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Show with a failure what the daemons said last."""
    outcome: Any = yield
    report = outcome.get_result()
    if not report.failed:
        return
    for name, value in getattr(item, "funcargs", {}).items():
        if isinstance(value, Daemon) and (value.folder / "log").exists():
            report.sections.append((f"log of {name}", "\n".join(value.log.splitlines()[-_LAST_LINES:])))


@pytest.fixture(scope="session")
def clean_env() -> dict[str, str]:
    """The environment without what would reach a daemon or client of the person who runs the tests."""
    return {key: value for key, value in os.environ.items() if not key.startswith("SPACEDOCK_")}


@pytest.fixture(scope="module")
def make_daemon(clean_env: Mapping[str, str]) -> Iterator[StartDaemon]:
    """Start daemons; each is stopped, and its folder removed, when the module's tests are over."""
    made: list[Daemon] = []

    def make(start: bool = True, **settings: str) -> Daemon:
        daemon = new_daemon(clean_env, **settings)
        made.append(daemon)
        if start:
            daemon.start()
        return daemon

    yield make
    with ThreadPoolExecutor() as removing:
        # All at once: each has containers to remove.
        list(removing.map(Daemon.remove, made))


@pytest.fixture(scope="session")
def daemon(clean_env: Mapping[str, str]) -> Iterator[Daemon]:
    """The daemon that most tests share: it keeps the Spaces that several of them call."""
    daemon = new_daemon(clean_env, containers__max_containers="6")
    try:
        daemon.start()
        yield daemon
    finally:
        daemon.remove()
