"""Telling a host that starts no container from a Space whose container cannot be started."""

from __future__ import annotations

from spacedock.result import ErrorKind, Stage
from spacedock_worker.errors import StepError

_HINTS = (
    ("catatonit", "Install catatonit, which Podman runs as each container's first process."),
    (
        "docker-init",
        "Install docker-init (Debian: `apt install tini`, or docker.io with what it recommends).",
    ),
    ("cgroup", "Check that this host's cgroups are mounted, and may be written to."),
    ("runtime name", "Correct `containers.runtime`, or install that runtime for the Docker Engine."),
    ("runtime specified", "Correct `containers.runtime`, or install that runtime for the Docker Engine."),
    ("nftables", "Install nftables, which Podman's networks need."),
    ("iptables", "Check that the Docker Engine may set firewall rules, or restart it."),
)
_USUAL = "Try `docker run`, and see `docker info`."


def host_fault(said: str) -> StepError:
    """The error for a host whose engine refuses a container that does nothing; `said` are its words."""
    hint = next((hint for word, hint in _HINTS if word in said.lower()), _USUAL)
    why = f"this host can start no Space: its engine refuses every container ({said.rstrip('. ')})"
    return StepError(Stage.START, ErrorKind.START_FAILED, f"{why}. {hint}", host=True)
