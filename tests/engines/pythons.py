"""`python -m tests.engines.pythons`: unit and queue tests on each Python and queue (make test-pythons)."""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.engines.suite import ROOT, Outcome, run

DEBIAN = Path(__file__).parent / "debian.sh"
HOME = Path(os.environ.get("SPACEDOCK_ENGINES") or "/var/tmp/spacedock-engines")
VERSIONS = ("3.11", "3.12", "3.13", "3.14")
SYSTEMS = {"3.13": "trixie", "3.14": "sid"}
"""Where the machine has no such Python, the unpacked Debian that has; its queues are tried with it."""

UNIT = ("tests/unit", "tests/routing")
QUEUE = ("tests/integration/queue",)
SECONDS = 1200.0


def main() -> int:
    """Run them; returns 1 where a test failed or there is no such Python."""
    parser = argparse.ArgumentParser(prog="make test-pythons")
    parser.add_argument("--pythons", nargs="*", choices=VERSIONS)
    wanted = parser.parse_args().pythons or VERSIONS
    return 0 if all([_on(version) for version in wanted]) else 1


def _on(version: str) -> bool:
    system = SYSTEMS.get(version)
    prefix = _in(system) if system else []
    interpreter = "python3" if system else _interpreter(version)
    if interpreter is None:
        _say(f"Python {version}: not installed on this machine; its tests are skipped")
        return False
    python = _environment(prefix, interpreter, version)
    unit = run(f"python-{version}-unit", [*prefix, python, "-m", "pytest"], UNIT, SECONDS)
    queue = run(f"python-{version}-queue", [*prefix, python, "-m", "pytest"], QUEUE, SECONDS)
    _tell(f"Python {version} unit", unit)
    _tell(f"Python {version} queue", queue)
    exact = _output([*prefix, python, "-c", "import sys; print(sys.version.split()[0])"])
    unit.note("pythons", f"{version}: unit", exact)
    queue.note("pythons", f"{version}: queue", exact)
    where = f"of Debian's {system}" if system else "of this machine"
    queue.only("[redis").note("queues", f"Redis {where}", _server([*prefix, "redis-server"]))
    if version == VERSIONS[0]:
        carried = _output([python, "-c", "from spacedockd.valkey import server_binary as b; print(b())"])
        queue.only("[valkey").note("queues", "embedded Valkey", _server([carried]))
    others_right = system is None or _on_valkey(system, prefix, python)
    return unit.right and queue.right and others_right


def _on_valkey(system: str, prefix: Sequence[str], python: str) -> bool:
    """The queue's tests on that Debian's Valkey, which takes the name that they look for."""
    folder = HOME / f"python-{system}" / "valkey"
    folder.mkdir(exist_ok=True)
    (folder / "redis-server").unlink(missing_ok=True)
    (folder / "redis-server").symlink_to("/usr/bin/valkey-server")
    put_first = ["env", f"PATH={folder}:/usr/local/bin:/usr/bin:/bin"]
    command = [*prefix, *put_first, python, "-m", "pytest"]
    outcome = run(f"valkey-{system}", command, [*QUEUE, "-k", "redis"], SECONDS)
    name = f"Valkey of Debian's {system}"
    _tell(name, outcome)
    outcome.only("[redis").note("queues", name, _server([*prefix, "valkey-server"]))
    return outcome.right


def _in(system: str) -> list[str]:
    return [str(DEBIAN), "in", system, str(HOME / f"python-{system}")]


def _interpreter(version: str) -> str | None:
    """This machine's own, also where pyenv keeps several."""
    kept = Path.home() / ".pyenv" / "versions"
    found = [*map(str, sorted(kept.glob(f"{version}.*/bin/python"))), shutil.which(f"python{version}")]
    return next((one for one in found if one), None)


def _environment(prefix: Sequence[str], interpreter: str, version: str) -> str:
    """A virtual environment of that Python with everything in it, made anew when pyproject.toml changes."""
    place = ROOT / ".cache" / "pythons" / version
    stamp, wanted = place / "made", hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest()
    python = str(place / "bin" / "python")
    if not stamp.exists() or stamp.read_text() != wanted:
        quiet = [*prefix, python, "-m", "pip", "install", "--quiet"]
        _do([*prefix, interpreter, "-m", "venv", "--clear", str(place)])
        _do([*quiet, "--upgrade", "pip>=25.1"])
        _do([*quiet, "-e", ".[worker,daemon,smollm]", "--group", "dev"])
        stamp.write_text(wanted)
    return python


def _do(command: Sequence[str]) -> None:
    subprocess.run(command, cwd=ROOT, check=True, stdin=subprocess.DEVNULL)


def _server(command: Sequence[str]) -> str:
    """The "Redis 8.0.2" of a server's `--version`."""
    words = _output([*command, "--version"]).split()
    return f"{words[0]} {next(word for word in words if word.startswith('v=')).removeprefix('v=')}"


def _output(command: Sequence[str]) -> str:
    ran = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    return ran.stdout.strip()


def _tell(name: str, outcome: Outcome) -> None:
    _say(f"{name}: {outcome}" + (f" (skipped: {outcome.skipped})" if outcome.skipped else ""))
    for failed in outcome.failed:
        _say(f"  failed: {failed}")


def _say(line: str) -> None:
    sys.stdout.write(f"test-pythons: {line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
