"""What every test may use: one real Valkey for the whole run, emptied before each test that asks for it."""

from __future__ import annotations

import gc
import signal
import subprocess
import time
from collections.abc import Generator, Iterator
from pathlib import Path

import hypothesis
import pytest
import redis
import structlog
from tests.leftovers import remove_own_caches

from spacedockd.valkey import server_binary

START_SECONDS = 60.0

LONGEST = (
    "integration/test_cleanup_and_lock.py",
    "integration/test_batch_engine.py",
    "queue/test_queue_memory.py",
    "integration/test_command.py",
    "containers/test_pool.py",
    "integration/test_hub_images.py",
    "containers/test_pool_warmth.py",
    "integration/test_mcp.py",
    "integration/test_model_server.py",
    "compat/test_matrix.py",
    "acceptance/test_readme.py",
    "acceptance/test_kills.py",
    "apps/test_gradio_leaks.py",
    "acceptance/test_seed.py",
    "acceptance/test_cases.py",
    "acceptance/test_hosts.py",
    "acceptance/test_profiles.py",
    "acceptance/test_strangers.py",
    "acceptance/test_discovery.py",
    "acceptance/test_stores.py",
    "acceptance/test_faults.py",
    "acceptance/test_http.py",
    "apps/test_build_limits.py",
    "acceptance/test_batch.py",
)
"""The files that take longest, whatever the number of their tests (`pytest --durations`)."""

# A shell that runs the tests in the background has them ignore interrupts, as would all that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)
# A run that is ended from outside, as by `timeout`, stops what its tests have started.
signal.signal(signal.SIGTERM, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# How long one example takes says more of a busy machine than of the code.
hypothesis.settings.register_profile("unhurried", deadline=None)
hypothesis.settings.load_profile("unhurried")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--rewrite",
        action="store_true",
        help="write what the commands say into the transcript, to be reviewed",
    )
    parser.addoption(
        "--all-versions",
        action="store_true",
        help="run the compatibility cases on every Gradio, beside gradio_client, and write their table",
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first: processes that share the files whole then end together."""
    items.sort(key=_turn)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Thousands of tests stay to the end: to go through them takes the collector a second each time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


def _turn(item: pytest.Item) -> int:
    name = f"{item.path.parent.name}/{item.path.name}"
    return LONGEST.index(name) if name in LONGEST else len(LONGEST)


@pytest.fixture(autouse=True)
def fresh_logs() -> Iterator[None]:
    """Forget how a command that ran within the test has configured the log: others look at what is logged."""
    yield
    if structlog.is_configured():
        structlog.reset_defaults()


@pytest.fixture(scope="session", autouse=True)
def nothing_is_left() -> Iterator[None]:
    """Remove what this process's tests leave on the engine by intention; others go on beside it."""
    yield
    remove_own_caches()


@pytest.fixture(scope="session")
def valkey_socket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The socket of a real Valkey server that only this test run uses."""
    folder = tmp_path_factory.mktemp("valkey")
    socket = folder / "redis.sock"
    command = [server_binary(), "--port", "0", "--unixsocket", str(socket), "--dir", str(folder)]
    command += ["--save", "", "--appendonly", "no", "--loglevel", "warning"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            _wait_for(socket)
            yield socket
        finally:
            process.terminate()


@pytest.fixture
def redis_url(valkey_socket: Path) -> str:
    """The address of an empty Valkey."""
    with redis.Redis(unix_socket_path=str(valkey_socket)) as client:
        client.flushall()
    return f"unix://{valkey_socket}"


def _wait_for(socket: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        try:
            with redis.Redis(unix_socket_path=str(socket)) as client:
                client.ping()
                return
        except redis.ConnectionError:
            # The server is still opening its socket, and has no way of telling that it has.
            time.sleep(0.02)
    raise TimeoutError("Valkey did not start")
