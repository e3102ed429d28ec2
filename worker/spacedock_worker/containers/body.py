"""From a Space and its limits to Docker's create body (pure): all the walls in one place."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from spacedock_worker.containers.spec import ContainerSpec
from spacedock_worker.containers.task import WORKSPACE

OWNER_LABEL = "io.spacedock.owner"
SPACE_LABEL = "io.spacedock.space"

_USER = "1000:1000"
# No more than engines without CAP_SYS_RESOURCE (in a container themselves) can hand on.
_OPEN_FILES = 4096


@dataclass(frozen=True, slots=True)
class Limits:
    """What a container may use at most: bytes of memory and of /tmp, processes, CPUs (None: no limit)."""

    memory: int
    pids: int
    tmp_size: int
    cpus: float | None = None


def create_body(
    spec: ContainerSpec, limits: Limits, *, network: str, owner: str, publish: bool
) -> dict[str, Any]:
    """The body of `POST /containers/create` for the Space's container.

    The walls follow the CIS Docker Benchmark (5.x), OWASP's Docker cheat sheet and the restricted profile of
    Kubernetes. With `publish` the port is reachable at 127.0.0.1 on a port that the engine chooses.
    """
    port = f"{spec.port}/tcp"
    body: dict[str, Any] = {
        "Image": spec.reference,
        "User": _USER,
        "Env": [f"{name}={value}" for name, value in _environment(spec, limits).items()],
        "Labels": {OWNER_LABEL: owner, SPACE_LABEL: spec.space},
        "ExposedPorts": {port: {}},
        "HostConfig": _host_config(limits, network),
    }
    if spec.command is not None:
        # The image's entry point would get our command as its arguments.
        body |= {"Entrypoint": [], "Cmd": list(spec.command)}
    if publish:
        body["HostConfig"]["PortBindings"] = {port: [{"HostIp": "127.0.0.1", "HostPort": ""}]}
    return body


def task_body(
    spec: ContainerSpec, limits: Limits, *, network: str, owner: str, env: Mapping[str, str]
) -> dict[str, Any]:
    """The body for a program that runs once: the same walls, no port, a workspace, and streams to attach to.

    The task's `env` goes before the Space's. The workspace starts with what the image has at that place.
    """
    spec = replace(spec, env={**spec.env, **env})
    body = create_body(spec, limits, network=network, owner=owner, publish=False)
    del body["ExposedPorts"]
    # Whatever it writes is read as it comes: a log would keep it once more, and slow it down.
    body["HostConfig"]["LogConfig"] = {"Type": "none"}
    return body | {
        "OpenStdin": True,
        "StdinOnce": True,
        "AttachStdin": True,
        "AttachStdout": True,
        "AttachStderr": True,
        "Tty": False,
        "Volumes": {WORKSPACE: {}},
    }


def _host_config(limits: Limits, network: str) -> dict[str, Any]:
    config: dict[str, Any] = {
        "NetworkMode": network,
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges"],
        "Privileged": False,
        "IpcMode": "private",
        "Memory": limits.memory,
        # As much as the memory: no swap besides.
        "MemorySwap": limits.memory,
        "PidsLimit": limits.pids,
        # No nproc: the kernel counts it over all containers of uid 1000 together. PidsLimit is per container.
        "Ulimits": [
            {"Name": "nofile", "Soft": _OPEN_FILES, "Hard": _OPEN_FILES},
            {"Name": "core", "Soft": 0, "Hard": 0},
        ],
        "Tmpfs": {"/tmp": f"rw,nosuid,nodev,exec,mode=1777,size={limits.tmp_size}"},
        "Init": True,
        "RestartPolicy": {"Name": "no"},
        "AutoRemove": False,
        "LogConfig": {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "1"}},
    }
    if limits.cpus is not None:
        config["NanoCpus"] = int(limits.cpus * 1e9)
    return config


def _environment(spec: ContainerSpec, limits: Limits) -> Mapping[str, str]:
    """The Hub's environment, less what only makes sense there; the Space's own entries win, its secrets last.

    SPACE_ID stays unset: with SYSTEM=spaces it makes Gradio close its /run routes.
    """
    environment = {
        "GRADIO_SERVER_NAME": "0.0.0.0",
        "GRADIO_SERVER_PORT": str(spec.port),
        "GRADIO_ANALYTICS_ENABLED": "False",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "SPACES_ZERO_GPU": "false",
        "MEMORY": f"{max(1, limits.memory // 2**30)}Gi",
    }
    if limits.cpus is not None:
        environment["CPU_CORES"] = str(max(1, math.floor(limits.cpus)))
    return environment | dict(spec.env) | dict(spec.secrets)
