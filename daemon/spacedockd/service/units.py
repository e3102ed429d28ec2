"""The unit files as they are for this machine: its commands, its systemd, a user's own manager (pure)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

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
