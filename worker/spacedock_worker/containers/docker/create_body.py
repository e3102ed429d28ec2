"""From a Space and its limits to Docker's create body (pure): all the walls in one place."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

from spacedock_worker.containers.docker.task import WORKSPACE
from spacedock_worker.containers.spec import ContainerSpec

# Libraries that write where they are installed or below HOME otherwise. None of these places holds what an
# image may bring with it, as HF_HOME, XDG_CACHE_HOME, XDG_CONFIG_HOME and XDG_DATA_HOME may.
_WRITERS = {
    "GRADIO_TEMP_DIR": "/tmp/gradio",
    "GRADIO_EXAMPLES_CACHE": "/tmp/gradio-examples",
    "MPLCONFIGDIR": "/tmp/matplotlib",
    "NUMBA_CACHE_DIR": "/tmp/numba",
    "TRITON_CACHE_DIR": "/tmp/triton",
    "TORCHINDUCTOR_CACHE_DIR": "/tmp/torchinductor",
    "YOLO_CONFIG_DIR": "/tmp/ultralytics",
}
_OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}


def environment(
    spec: ContainerSpec, memory: int, cpus: float | None = None, *, gpu: bool = False
) -> dict[str, str]:
    """The Hub's environment, less what only makes sense there; the Space's own entries win, its secrets most.

    `memory` is in bytes. SPACE_ID stays unset: with SYSTEM=spaces it makes Gradio close its /run routes.
    """
    variables = {
        "GRADIO_SERVER_NAME": "0.0.0.0",
        "GRADIO_SERVER_PORT": str(spec.port),
        "GRADIO_ANALYTICS_ENABLED": "False",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "SPACES_ZERO_GPU": "false",
        # In whole GiB as on the Hub where that is what the container has.
        "MEMORY": f"{memory // 2**20}Mi" if memory % 2**30 else f"{memory // 2**30}Gi",
    }
    if cpus is not None:
        variables["CPU_CORES"] = str(max(1, math.floor(cpus)))
    if spec.read_only:
        variables |= _WRITERS
    if spec.sealed:
        variables |= _OFFLINE
    if spec.private:
        # Code that came with weights is copied there before it is imported, and their cache is read-only.
        variables["HF_MODULES_CACHE"] = "/tmp/hf-modules"
    variables |= {**spec.env, **spec.secrets}
    if not gpu:
        # CUDA images ask for every GPU: where the engine's default runtime is NVIDIA's, they would get them.
        variables["NVIDIA_VISIBLE_DEVICES"] = "void"
    return variables


OWNER_LABEL = "io.spacedock.owner"
SPACE_LABEL = "io.spacedock.space"

USER = "1000:1000"
"""Who every program of a Space is, as the uid and the gid."""

# No more than engines without CAP_SYS_RESOURCE (in a container themselves) can hand on.
_OPEN_FILES = 4096
_SHARED_MEMORY = 64 * 2**20
_VAR_TMP = 64 * 2**20
# Nobody listens there. An engine's own resolver may ask the host's, which is a way out (CVE-2024-29018).
_NO_RESOLVER = "127.0.0.1"
HOST_NAMES = ("host.containers.internal", "host.docker.internal")
"""The names by which Podman tells every container this host's address."""

# Folders of the engine, of ours, and of programs.
_NO_CACHE = ("/proc", "/sys", "/dev", "/etc", "/usr", "/bin", "/lib", WORKSPACE)
# A volume there would go on showing an app that its image has since replaced.
_NO_CACHE_ITSELF = ("/", "/tmp", "/var", "/var/tmp", "/run", "/opt", "/srv", "/home", "/root")
_APPS = ("/app", "/code", "/home/user", "/home/user/app")


@dataclass(frozen=True, slots=True)
class ContainerLimits:
    """What a container may use at most: bytes of memory and of /tmp, processes, CPUs (None: no limit)."""

    memory: int
    pids: int
    tmp_size: int
    cpus: float | None = None


@dataclass(frozen=True, slots=True)
class Site:
    """Where the container stands: whose it is, on which network, and what it is given of this host.

    With `publish` its port is reachable at 127.0.0.1, on a port that the engine chooses. `cache` names the
    volume to mount at `spec.cache`; `gpus` are the ids of its GPUs; `runtime` is the OCI runtime of Spaces
    that name none. `hidden` are names that the engine gives an address, and that a sealed container gets none
    for.
    """

    owner: str
    network: str
    publish: bool = False
    cache: str | None = None
    gpus: tuple[str, ...] = ()
    runtime: str | None = None
    hidden: tuple[str, ...] = ()


def create_body(spec: ContainerSpec, limits: ContainerLimits, site: Site) -> dict[str, Any]:
    """The body of `POST /containers/create` for the Space's container.

    docs/security.md names the rule behind each setting, of the CIS Docker Benchmark, OWASP and Kubernetes.
    """
    port = f"{spec.port}/tcp"
    variables = environment(spec, limits.memory, limits.cpus, gpu=bool(site.gpus))
    body: dict[str, Any] = {
        "Image": spec.reference,
        "User": USER,
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


def task_body(
    spec: ContainerSpec, limits: ContainerLimits, site: Site, env: Mapping[str, str]
) -> dict[str, Any]:
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


def cache_path(path: str | None) -> str | None:
    """Where a cache volume can be mounted for an image that keeps its downloads at `path`; None: nowhere.

    The path is the image's word: one that is not absolute, or where a volume would hide what the app is made
    of, or what is ours or the engine's, is not taken.
    """
    if path is None or not path.startswith("/") or "\0" in path:
        return None
    found = PurePosixPath(path)
    folder = "/" + str(found).lstrip("/")
    if ".." in found.parts or folder in (*_NO_CACHE_ITSELF, *_APPS):
        return None
    if any(folder == below or folder.startswith(f"{below}/") for below in _NO_CACHE):
        return None
    return folder


def _host_config(spec: ContainerSpec, limits: ContainerLimits, site: Site) -> dict[str, Any]:
    config: dict[str, Any] = {
        "NetworkMode": site.network,
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges"],
        "Privileged": False,
        "IpcMode": "private",
        "CgroupnsMode": "private",
        "ReadonlyRootfs": spec.read_only,
        "Memory": limits.memory,
        # As much as the memory: no swap besides.
        "MemorySwap": limits.memory,
        "PidsLimit": limits.pids,
        # No nproc: the kernel counts it over all containers of uid 1000 together. PidsLimit is per container.
        "Ulimits": [
            {"Name": "nofile", "Soft": _OPEN_FILES, "Hard": _OPEN_FILES},
            {"Name": "core", "Soft": 0, "Hard": 0},
        ],
        "Tmpfs": _tmpfs(spec, limits),
        "ShmSize": _SHARED_MEMORY,
        "Init": True,
        "RestartPolicy": {"Name": "no"},
        "AutoRemove": False,
        "LogConfig": _log(spec),
    }
    if limits.cpus is not None:
        config["NanoCpus"] = int(limits.cpus * 1e9)
    if spec.sealed:
        config |= {"Dns": [_NO_RESOLVER], "DnsOptions": ["timeout:1", "attempts:1"]}
    return config | _given(spec, site)


def _given(spec: ContainerSpec, site: Site) -> dict[str, Any]:
    """What the container has of this host, where there is anything."""
    config: dict[str, Any] = {}
    if spec.sealed and site.hidden:
        # The engine adds no name that is there already: these lead back into the container.
        config["ExtraHosts"] = [f"{name}:{_NO_RESOLVER}" for name in site.hidden]
    path = cache_path(spec.cache)
    if site.cache is not None and path is not None:
        # What a private container was asked must not wait there for one that has a way out.
        mount = {"Type": "volume", "Source": site.cache, "Target": path, "ReadOnly": spec.private}
        config["Mounts"] = [mount]
    if site.gpus:
        request = {"Driver": "nvidia", "DeviceIDs": list(site.gpus), "Capabilities": [["gpu"]]}
        config["DeviceRequests"] = [request]
    if runtime := spec.runtime or site.runtime:
        config["Runtime"] = runtime
    return config


def _tmpfs(spec: ContainerSpec, limits: ContainerLimits) -> dict[str, str]:
    """Folders in memory. /run is not among them: a tmpfs hides what images have made there for their user."""
    options = "rw,nosuid,nodev,exec,mode=1777"
    folders = {"/tmp": f"{options},size={limits.tmp_size}"}
    if spec.read_only:
        folders["/var/tmp"] = f"{options},size={_VAR_TMP}"
    return folders


def _log(spec: ContainerSpec) -> dict[str, Any]:
    if spec.private:
        # What the app prints may be what it was asked.
        return {"Type": "none"}
    return {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "1"}}
