"""What each process brings along: the client nothing of the worker, the daemon nothing of its children."""

from __future__ import annotations

import subprocess
import sys
from inspect import signature
from pathlib import Path

import pytest

import spacedock
from spacedock import Client, SyncClient
from spacedock._wire.view.queue_view import QueueView
from spacedock.spaces import Spaces
from spacedock.sync import SyncSpaces

WORKERS = {
    "arq",
    "aiodocker",
    "aiohttp",
    "structlog",
    "openai",
    "yaml",
    "huggingface_hub",
    "spacedock_worker",
}
HEAVY = {"redis", "pydantic", "typer", "rich", "asyncio", *WORKERS}

EVERYTHING = """
import importlib, pkgutil, sys, spacedock
for module in pkgutil.walk_packages(spacedock.__path__, "spacedock."):
    importlib.import_module(module.name)
for name in spacedock.__all__:
    getattr(spacedock, name)
"""
VERSION = """
import sys
sys.argv = ["spacedock", "--version"]
from spacedock.cli import main
main()
"""
TELL = "\nprint(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)"


def imported(program: str) -> tuple[str, set[str]]:
    ran = subprocess.run([sys.executable, "-c", program + TELL], capture_output=True, text=True, check=True)
    return ran.stdout, set(ran.stderr.split())


def test_the_whole_client_brings_nothing_of_the_worker() -> None:
    # YAML is for pipelines, and for the configuration.
    assert not imported(EVERYTHING)[1] & (WORKERS - {"yaml"})


def test_commands_bring_yaml_only_where_they_read_some() -> None:
    assert "yaml" not in imported("import sys, spacedock.cli.app")[1]


@pytest.mark.parametrize("words", [["jobs"], ["run", "x"]], ids=" ".join)
def test_a_command_loads_only_what_it_uses(words: list[str], tmp_path: Path) -> None:
    words = ["spacedock", *words, "--redis", f"unix://{tmp_path}/no.sock"]
    program = (
        "import atexit, sys\natexit.register(lambda: print(*sys.modules))\n"
        f"sys.argv = {words}\nfrom spacedock.cli import main\nmain()"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    loaded = set(ran.stdout.split())
    assert "spacedock.cli.app" in loaded
    others = {f"spacedock.cli.commands.{name}" for name in ("batch", "doctor", "mcp", "tiers", "hosts")}
    assert not loaded & {"spacedock.batching.batch_run", "spacedock.openai", "rich", *others}
    # Each costs 1 ms of a start that scripts pay thousands of times. There were 150.
    assert sum(name.startswith("spacedock") for name in loaded) < 90


def test_importing_the_package_brings_neither_redis_nor_pydantic() -> None:
    assert not imported("import sys, spacedock")[1] & HEAVY


def test_the_version_is_told_without_redis_and_pydantic() -> None:
    out, modules = imported(VERSION)
    assert out.startswith("spacedock ")
    assert not modules & HEAVY


def test_the_command_itself_tells_its_version() -> None:
    command = Path(sys.executable).parent / "spacedock"
    ran = subprocess.run([command, "--version"], capture_output=True, text=True, check=True)
    assert (ran.stdout.split()[0], ran.stderr) == ("spacedock", "")


def test_the_command_ends_with_2_and_one_line_where_no_daemon_is(tmp_path: Path) -> None:
    command = [Path(sys.executable).parent / "spacedock", "run", "x", "--redis", f"unix://{tmp_path}/no.sock"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (2, "", 1)


@pytest.mark.parametrize("name", spacedock.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(spacedock, name).__name__ == name


def test_a_name_that_is_not_public_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Klient'"):
        _ = spacedock.Klient


DAEMON = "import sys, spacedockd.daemon, spacedockd.settings, spacedock_worker.logs"
UNUSED_BY_THE_DAEMON = {
    "openai",
    "arq",
    "aiodocker",
    "aiohttp",
    "httpx2",
    "huggingface_hub",
    "typer",
}


def test_the_daemons_process_brings_nothing_of_its_workers() -> None:
    assert not imported(DAEMON)[1] & UNUSED_BY_THE_DAEMON


def test_the_worker_brings_no_package_for_what_it_says_itself() -> None:
    assert "openai" not in imported("import sys, spacedock_worker.__main__")[1]


def test_the_worker_loads_the_hubs_library_only_when_it_asks_the_hub() -> None:
    program = "import sys, spacedock_worker.service\nprint('huggingface_hub.hf_api' in sys.modules)"
    assert imported(program)[0].strip() == "False"


SERVING = """
import sys
from importlib import import_module
from spacedock_worker import light_imports
with light_imports():
    import spacedockd.entry, spacedockd.cli, spacedockd.daemon, spacedockd.settings
"""
WORKING = "import sys, spacedock_worker.__main__"
RESIDENT = "\nprint(next(line for line in open('/proc/self/status') if line.startswith('VmRSS')).split()[1])"
NEVER_IDLE = {
    "cryptography",
    "greenlet",
    "httpx",
    "jsonschema",
    "mcp",
    "openai",
    "pygments",
    "rich",
    "xllamacpp",
}


@pytest.mark.parametrize(("program", "megabytes"), [(SERVING, 54), (WORKING, 74)], ids=["daemon", "worker"])
def test_an_idle_process_holds_no_package_that_it_does_not_use(program: str, megabytes: int) -> None:
    resident, modules = imported(program + RESIDENT)
    assert not modules & NEVER_IDLE
    assert int(resident) / 1024 < megabytes, "see `make bench-idle`: what is loaded at the start stays"


def test_what_a_service_does_not_use_is_there_for_who_asks() -> None:
    hiding = (
        "import sys, spacedock_worker.__main__\nfrom rich.console import Console\nprint(Console.__name__)"
    )
    assert imported(hiding)[0] == "Console\n"


@pytest.mark.parametrize(
    ("own", "twin"), [(SyncClient, Client), (SyncSpaces, Spaces)], ids=["client", "spaces"]
)
def test_the_blocking_twin_has_every_method_with_its_parameters(own: type, twin: type) -> None:
    for name in {name for name in vars(twin) | vars(QueueView) if not name.startswith("_")}:
        if not callable(asked := getattr(twin, name, None)) or name in ("submit_prepared", "check_may_wait"):
            continue
        assert signature(getattr(own, name)) == signature(asked), name
