"""`spacedockd install`, `upgrade` and `uninstall`: the units of this machine, and what is left to do."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from spacedock.errors import SpacedockError

FIRST_WITH_RELOAD = 253
"""systemd's version that brought Type=notify-reload; older ones send the signal by a command."""

FIRST_WITH_STEPS = 254
"""systemd's version that brought growing pauses between restarts."""

DAEMON, QUEUE, WORKER = "spacedockd.service", "spacedock-queue.service", "spacedock-worker@.service"
EXAMPLES = ("spacedock-nightly.service", "spacedock-nightly.timer")

_SHIPPED_BIN = "/opt/spacedock/bin/"
_SYSTEMS_OWN = re.compile(
    r"#?(User|Group|SupplementaryGroups|(State|Runtime|Cache)Directory\w*|Environment|OOMScoreAdjust"
    r"|LoadCredential|CapabilityBoundingSet|AmbientCapabilities|(Protect|Private)\w+|RemoveIPC|IPAddressDeny"
    r"|LimitNOFILE)="
)
"""What a user's own manager cannot do, or his daemon finds by itself."""

Run = Callable[[Sequence[str]], str]

_SECONDS = 150.0
"""Longer than the daemon may take to stop."""

_MARK = "# spacedockd install: "
_CHECKOUT = Path(__file__).parents[3] / "deploy/systemd"


class ServiceError(SpacedockError):
    """The service cannot be put in place, or taken away."""


@dataclass(frozen=True, slots=True)
class ServiceHost:
    """Where the commands are, systemd's version, and whether it is a user's own manager."""

    commands: Path
    systemd: int
    user: bool = False


@dataclass(frozen=True, slots=True)
class ServicePlaces:
    """Where units and configuration lie, and what the queue's service has of its own."""

    units: Path
    config: Path
    queue_state: Path
    queue_runtime: Path
    state: Path


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


def rendered(name: str, text: str, machine: ServiceHost, places: ServicePlaces) -> str:
    """The unit as this machine takes it."""
    lines = text.replace(_SHIPPED_BIN, f"{machine.commands}/").splitlines()
    lines = [line for one in lines for line in _spoken(one, machine.systemd)]
    if machine.user:
        lines = list(_for_user(name, lines, places))
    return "\n".join(lines) + "\n"


def configuration(text: str, places: ServicePlaces) -> str:
    """The first configuration: the daemon is told where its queue is."""
    return text.replace("@RUNTIME@", str(places.queue_runtime)).replace("@STATE@", str(places.state))


def _spoken(line: str, systemd: int) -> tuple[str, ...]:
    """The line as this systemd knows it: older ones restart after the same pause each time."""
    if line == "Type=notify-reload" and systemd < FIRST_WITH_RELOAD:
        return "Type=notify", "ExecReload=/bin/kill -HUP $MAINPID"
    if line.startswith(("RestartSteps=", "RestartMaxDelaySec=")) and systemd < FIRST_WITH_STEPS:
        return ()
    return (line,)


def _for_user(name: str, lines: list[str], places: ServicePlaces) -> Iterator[str]:
    for line in lines:
        if _SYSTEMS_OWN.match(line):
            continue
        if name == QUEUE and line.startswith("ExecStart="):
            own = f" --state-dir {places.queue_state} --runtime-dir {places.queue_runtime} queue"
            line = line.removesuffix(" queue") + own
        yield line.replace("multi-user.target", "default.target").replace(" docker.service", "")


def system_places(root: Path) -> ServicePlaces:
    """A system service's; `root` is / but in tests."""
    return ServicePlaces(
        units=root / "etc/systemd/system",
        config=root / "etc/spacedock/spacedockd.yaml",
        queue_state=Path("/var/lib/spacedock-queue"),
        queue_runtime=Path("/run/spacedock-queue"),
        state=Path("/var/lib/spacedock"),
    )


def user_places(env: Mapping[str, str], uid: int) -> ServicePlaces:
    """This user's own."""
    home = Path(env.get("HOME") or "/")
    config = Path(env.get("XDG_CONFIG_HOME") or home / ".config")
    state = Path(env.get("XDG_STATE_HOME") or home / ".local/state")
    return ServicePlaces(
        units=config / "systemd/user",
        config=config / "spacedock/spacedockd.yaml",
        queue_state=state / "spacedock-queue",
        queue_runtime=Path(env.get("XDG_RUNTIME_DIR") or f"/run/user/{uid}") / "spacedock-queue",
        state=state / "spacedock",
    )
