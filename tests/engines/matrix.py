"""`python -m tests.engines.matrix`: the suites that touch an engine, on every engine (make test-engines)."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.engines.suite import ROOT, run

ENGINE = Path(__file__).parent / "engine.sh"
OWN = "20.10"
"""This machine's own engine, which is Debian 12's."""

NAMES = (OWN, "26", "26-containerd", "28", "28-containerd")
SMOKE = "podman"
DOCKER_VERSION = ("docker", "version", "--format", "{{.Server.Version}}, API {{.Server.APIVersion}}")
DOCKER_IMAGES = ("docker", "images", "--format", "{{.Repository}}:{{.Tag}}")
BASE = "spacedock/python:3.11"
_I = "tests/integration/"
SUITES = {
    "containers": (f"{_I}containers", f"--ignore={_I}containers/test_disk.py", f"{_I}test_command.py"),
    "hostile": (f"{_I}hostile",),
    "privacy": (f"{_I}test_privacy.py", f"{_I}test_privacy_commands.py"),
    "images": (
        f"{_I}test_hub_images.py",
        f"{_I}test_pull.py",
        f"{_I}test_pull_interrupted.py",
        f"{_I}test_pull_login.py",
        f"{_I}apps/test_images.py",
    ),
    "disk": (f"{_I}containers/test_disk.py",),
    "upkeep": (f"{_I}test_cleanup_and_lock.py", f"{_I}test_sweep.py"),
    "acceptance": ("tests/acceptance",),
    # Podman lists dropped capabilities one by one.
    "smoke": (
        f"{_I}containers/test_pool.py",
        f"--deselect={_I}containers/test_pool.py::test_a_container_has_its_walls",
        f"{_I}containers/test_ground.py",
        f"{_I}hostile/test_hostile_network.py",
    ),
}
ALONE = {"acceptance": ("tests/acceptance/test_kills.py", "tests/faults/test_quick.py")}
"""The files of a suite that run alone, as in tests/all.sh."""

SIDE_BY_SIDE = ("-n", "2", "--dist", "loadfile")
GRADIO_SUITES = {"images", "acceptance"}
SUITE_SECONDS = 1800.0
LAYERS_SECONDS = 1800.0


def main() -> int:
    """Run what was asked for; returns 1 where a test failed."""
    arguments = _arguments()
    began, wrong = time.monotonic(), 0
    for engine in arguments.engines:
        chosen = arguments.suites or suites_of(engine)
        wrong += not _on(engine, chosen)
    _say(f"{len(arguments.engines)} engines in {time.monotonic() - began:.0f} s, {wrong} with failures")
    return 1 if wrong else 0


def suites_of(engine: str) -> list[str]:
    """The suites that run on an engine when nobody chooses."""
    return ["smoke"] if engine == SMOKE else [name for name in SUITES if name != "smoke"]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make test-engines")
    parser.add_argument("--engines", nargs="*", choices=[*NAMES, SMOKE])
    parser.add_argument("--suites", nargs="*", choices=list(SUITES))
    found = parser.parse_args()
    found.engines = found.engines or [OWN, "26", "28", "28-containerd", SMOKE]
    return found


def _on(engine: str, chosen: list[str]) -> bool:
    """Run the suites on one engine; whether all passed. Each becomes a row of the page."""
    began = time.monotonic()
    # Says so only where it did not run before: whose engine it is ends it.
    started = engine != OWN and bool(_output([ENGINE, "start", engine]))
    try:
        version = _output(_on_engine(engine, *DOCKER_VERSION))
        _prepare(engine, chosen)
        _say(f"{engine} is version {version}; ready with images: {time.monotonic() - began:.0f} s")
        right = [_suite(engine, version, suite) for suite in chosen]
    finally:
        if started:
            subprocess.run([ENGINE, "stop", engine], check=True)
    _say(f"{engine} in all: {time.monotonic() - began:.0f} s")
    return all(right)


def _suite(engine: str, version: str, suite: str) -> bool:
    pytest, alone = _on_engine(engine, sys.executable, "-m", "pytest"), ALONE.get(suite, ())
    together = [*SIDE_BY_SIDE, *SUITES[suite], *(f"--ignore={path}" for path in alone)]
    outcome = run(f"{engine}-{suite}", pytest, together, SUITE_SECONDS)
    if alone:
        outcome += run(f"{engine}-{suite}-alone", pytest, alone, SUITE_SECONDS)
    _say(f"{engine} {suite}: {outcome}" + (f" (skipped: {outcome.skipped})" if outcome.skipped else ""))
    for name in outcome.failed:
        _say(f"  failed: {name}")
    outcome.note("engines", f"{engine}: {suite}", version)
    return outcome.right


def _prepare(engine: str, chosen: list[str]) -> None:
    """The base image and what Gradio Spaces share, unless they are there from the last time.

    Newer engines find no step of a build again in an image that was built elsewhere, so each builds its own.
    """
    if engine != OWN and BASE not in _output(_on_engine(engine, *DOCKER_IMAGES)).split():
        with subprocess.Popen(["docker", "save", BASE], stdout=subprocess.PIPE) as saved:
            load = _on_engine(engine, "docker", "load", "--quiet")
            subprocess.run(load, stdin=saved.stdout, check=True, stdout=subprocess.DEVNULL)
    if GRADIO_SUITES.intersection(chosen):
        layers = _on_engine(engine, sys.executable, "-m", "tests.layers")
        subprocess.run(layers, cwd=ROOT, check=True, timeout=LAYERS_SECONDS, stdout=subprocess.DEVNULL)


def _on_engine(engine: str, *command: str) -> list[str]:
    return list(command) if engine == OWN else [str(ENGINE), "in", engine, *command]


def _output(command: Sequence[str | Path]) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def _say(line: str) -> None:
    sys.stdout.write(f"test-engines: {line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
