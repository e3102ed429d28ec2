"""From a Space and its limits to Docker's create body (pure): all the walls in one place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from spacedock_worker.containers.environment import environment
from spacedock_worker.containers.spec import ContainerSpec
from spacedock_worker.containers.task import WORKSPACE

OWNER_LABEL = "io.spacedock.owner"
SPACE_LABEL = "io.spacedock.space"

_USER = "1000:1000"
# No more than engines without CAP_SYS_RESOURCE (in a container themselves) can hand on.
_OPEN_FILES = 4096
_SMALL = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Limits:
    """What a container may use at most: bytes of memory and of /tmp, processes, CPUs (None: no limit)."""

    memory: int
    pids: int
    tmp_size: int
    cpus: float | None = None


@dataclass(frozen=True, slots=True)
class Site:
    """Where the container stands: whose it is, on which network, and what it is given of this host.

    With `publish` its port is reachable at 127.0.0.1, on a port that the engine chooses. `cache` names the
    volume for `spec.cache`; `gpus` are device requests.
    """

    owner: str
    network: str
    publish: bool = False
    cache: str | None = None
    gpus: tuple[Mapping[str, Any], ...] = ()
    runtime: str | None = None


def create_body(spec: ContainerSpec, limits: Limits, site: Site) -> dict[str, Any]:
    """The body of `POST /containers/create` for the Space's container.

    The walls follow the CIS Docker Benchmark (5.x), OWASP's Docker cheat sheet and the restricted profile of
    Kubernetes: docs/security.md names the rule for each.
    """
    port = f"{spec.port}/tcp"
    variables = environment(spec, limits.memory, limits.cpus)
    body: dict[str, Any] = {
        "Image": spec.reference,
        "User": _USER,
        "Env": [f"{name}={value}" for name, value in variables.items()],
        "Labels": {OWNER_LABEL: site.owner, SPACE_LABEL: spec.space},
        "ExposedPorts": {port: {}},
        "HostConfig": _host_config(spec, limits, site),
    }
    if spec.command is not None:
        # The image's entry point would get our command as its arguments.
        body |= {"Entrypoint": [], "Cmd": list(spec.command)}
    if site.publish:
        body["HostConfig"]["PortBindings"] = {port: [{"HostIp": "127.0.0.1", "HostPort": ""}]}
    return body


def task_body(spec: ContainerSpec, limits: Limits, site: Site, env: Mapping[str, str]) -> dict[str, Any]:
    """The body for a program that runs once: the same walls, no port, a workspace, and streams to attach to.

    The task's `env` goes before the Space's. The workspace starts with what the image has at that place.
    """
    spec = replace(spec, env={**spec.env, **env})
    body = create_body(spec, limits, replace(site, publish=False))
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


def _host_config(spec: ContainerSpec, limits: Limits, site: Site) -> dict[str, Any]:
    config: dict[str, Any] = {
        "NetworkMode": site.network,
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
        "ReadonlyRootfs": spec.read_only,
        "Tmpfs": _tmpfs(spec, limits),
        "Init": True,
        "RestartPolicy": {"Name": "no"},
        "AutoRemove": False,
        "LogConfig": _log(spec),
    }
    if limits.cpus is not None:
        config["NanoCpus"] = int(limits.cpus * 1e9)
    if spec.cache is not None and site.cache is not None:
        config["Mounts"] = [_cache(spec.cache, site.cache, read_only=spec.private)]
    if site.gpus:
        config["DeviceRequests"] = [dict(request) for request in site.gpus]
    if runtime := spec.runtime or site.runtime:
        config["Runtime"] = runtime
    return config


def _tmpfs(spec: ContainerSpec, limits: Limits) -> dict[str, str]:
    """What can be written in memory: /tmp, and with a read-only root what Debian's own programs need."""
    sizes = {"/tmp": limits.tmp_size}
    if spec.read_only:
        sizes |= {"/var/tmp": _SMALL, "/run": _SMALL}
    return {path: f"rw,nosuid,nodev,exec,mode=1777,size={size}" for path, size in sizes.items()}


def _log(spec: ContainerSpec) -> dict[str, Any]:
    if spec.private:
        # What an app prints may be what it was asked.
        return {"Type": "none"}
    return {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "1"}}


def _cache(path: str, volume: str, *, read_only: bool) -> dict[str, Any]:
    """The Space's cache. A private container must leave nothing there for one that has a way out."""
    return {"Type": "volume", "Source": volume, "Target": path, "ReadOnly": read_only}
