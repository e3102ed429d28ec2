"""`spacedockd install`, `upgrade` and `uninstall`: each does what is left to do, and says it."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from spacedock.errors import SpacedockError
from spacedockd.service.units import (
    DAEMON,
    EXAMPLES,
    QUEUE,
    WORKER,
    ServiceHost,
    ServicePlaces,
    configuration,
    rendered,
)

Run = Callable[[Sequence[str]], str]

_SECONDS = 150.0
"""Longer than the daemon may take to stop."""

_MARK = "# spacedockd install: "
_CHECKOUT = Path(__file__).parents[3] / "deploy/systemd"


class ServiceError(SpacedockError):
    """The service cannot be put in place, or taken away."""


class Installer:
    """Puts the service in place below `root`; `run` executes a command and returns what it printed."""

    def __init__(self, machine: ServiceHost, places: ServicePlaces, run: Run, root: Path = Path("/")) -> None:
        self._machine, self._places, self._run, self._root = machine, places, run, root

    def install(self) -> Iterator[str]:
        """Write what differs, and have it run now and at every start of the machine."""
        yield from self._written()
        self._systemctl("enable", "--now", QUEUE, DAEMON)
        yield f"{DAEMON} and {QUEUE} run now, and start with the machine"
        if self._machine.user:
            yield "they end when you log out, unless you say: loginctl enable-linger"

    def upgrade(self) -> Iterator[str]:
        """Write what differs, and start the daemon by it: jobs that run go on, or go back to the queue."""
        if not (self._places.units / DAEMON).exists():
            raise ServiceError("it is not installed: `spacedockd install` does that")
        yield from self._written()
        self._systemctl("restart", DAEMON)
        yield f"{DAEMON} was restarted; the queue ran on, with all jobs"

    def uninstall(self) -> Iterator[str]:
        """Stop it and remove its units; configuration, jobs and results stay."""
        there = [path for path in self._files() if path.exists()]
        if any(path.name == DAEMON for path in there):
            self._systemctl("disable", "--now", DAEMON, QUEUE)
        for path in there:
            if not path.read_text().startswith(_MARK):
                yield f"{path} was changed by somebody else, and stays"
                continue
            path.unlink()
            yield f"removed {path}"
        if there:
            self._systemctl("daemon-reload")
        kept = (self._places.config, self._places.state, self._places.queue_state)
        yield f"kept {', '.join(map(str, kept))}"

    def _written(self) -> Iterator[str]:
        changed = False
        for path, text in self._files().items():
            if path.exists() and path.read_text() == text:
                yield f"unchanged {path}"
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            changed = True
            yield f"wrote {path}"
        if self._places.config.exists():
            yield f"unchanged {self._places.config}"
        else:
            self._places.config.parent.mkdir(parents=True, exist_ok=True)
            self._places.config.write_text(configuration(shipped("spacedockd.yaml"), self._places))
            yield f"wrote {self._places.config}"
        if self._machine.user:
            (self._places.state / "files").mkdir(mode=0o700, parents=True, exist_ok=True)
        elif changed:
            self._run(["systemd-sysusers"])
            self._run(["systemd-tmpfiles", "--create", "spacedock.conf"])
        if changed:
            self._systemctl("daemon-reload")

    def _files(self) -> dict[Path, str]:
        """What is to be where."""
        names = (DAEMON, QUEUE) if self._machine.user else (DAEMON, QUEUE, WORKER, *EXAMPLES)
        units = self._places.units
        found = {units / name: rendered(name, shipped(name), self._machine, self._places) for name in names}
        if not self._machine.user:
            found[self._root / "etc/sysusers.d/spacedock.conf"] = shipped("sysusers.conf")
            found[self._root / "etc/tmpfiles.d/spacedock.conf"] = shipped("tmpfiles.conf")
        return {path: f"{_MARK}upgrade writes this file again\n{text}" for path, text in found.items()}

    def _systemctl(self, *arguments: str) -> None:
        self._run(["systemctl", *(["--user"] if self._machine.user else []), *arguments])


def shipped(name: str) -> str:
    """A file of deploy/systemd, from the installed package or the checkout."""
    own = Path(__file__).parent / "systemd" / name
    return (own if own.exists() else _CHECKOUT / name).read_text(encoding="utf-8")


def machine_of(python: Path, run: Run, *, user: bool) -> ServiceHost:
    """This machine. Raises ServiceError where its services cannot run the commands beside `python`."""
    commands = python.absolute().parent
    if not user and any(commands.is_relative_to(home) for home in ("/home", "/root")):
        raise ServiceError(
            f"{commands} is in somebody's home, which a system service does not see. Install it elsewhere "
            "(sudo python3 -m venv /opt/spacedock; sudo /opt/spacedock/bin/pip install "
            "'hf-spacedock[daemon,smollm]'), or install the service of this user: --user"
        )
    version = re.search(r"systemd (\d+)", run(["systemctl", "--version"]))
    if version is None:
        raise ServiceError("systemctl does not tell its version")
    return ServiceHost(commands, int(version[1]), user)


def execute(command: Sequence[str]) -> str:
    """Run a command. Raises ServiceError with what it said where it fails."""
    if shutil.which(command[0]) is None:
        raise ServiceError(f"{command[0]} is missing: this machine does not run systemd")
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise ServiceError(
            f"{' '.join(command)} has not ended within {_SECONDS:g} s: `systemctl status {DAEMON}` and "
            "`spacedock doctor` say why"
        ) from None
    if done.returncode:
        raise ServiceError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout
