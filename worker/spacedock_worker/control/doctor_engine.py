"""The Docker Engine, as it says itself what it can do (pure)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from spacedock.replies.host import Area, DoctorLine
from spacedock_worker.containers.machine.capacity import EngineInfo
from spacedock_worker.containers.settings import ContainerSettings

AREA = Area("engine")
LIMITS = Area("limits")
GPU = Area("gpu")

_UPGRADE = "sudo apt-get install --only-upgrade docker.io"
_RESTART = "sudo systemctl restart docker"
_LEAKS_NO_NAMES = (25, 0, 5)
"""Engine 25.0.5 closed CVE-2024-29018: before it, names looked up in a sealed network can leave the host."""

_TRIED_DRIVERS = ("overlay2", "overlayfs", "btrfs", "zfs", "fuse-overlayfs", "overlay")
_OLD_DAYS, _OLDEST_DAYS = 180, 365 * 20
_LITTLE_DISK, _LOW_DISK = 2 * 2**30, 10 * 2**30
_MOST_NETWORKS = 28
"""Of the about 31 that an engine's usual address pools hold."""

_GRUB = "systemd.unified_cgroup_hierarchy=1 cgroup_enable=memory swapaccount=1"


@dataclass(frozen=True, slots=True)
class EngineNetworks:
    """The engine's bridges: how many there are, and whether its own `bridge` is among them."""

    count: int
    default: bool


def engine_lines(
    info: EngineInfo, api: str, networks: EngineNetworks | None, fault: str | None
) -> Iterator[DoctorLine]:
    """How the engine stands. `fault` is what keeps the host from starting any Space."""
    if info.trouble is not None:
        yield AREA.error("connection", info.trouble, _way_back(info.trouble))
        return
    yield _version(info.version, api)
    if fault is not None:
        yield AREA.error("starts", f"this host starts no Space: {fault}", f"docker info; {_RESTART}")
    yield from _groups(info.info)
    driver = str(info.info.get("Driver"))
    if driver in _TRIED_DRIVERS:
        yield AREA.ok("storage driver", driver)
    else:
        why = f"{driver} copies whole images, or is not kept any more: use overlay2"
        yield AREA.warning("storage driver", why, "sudoedit /etc/docker/daemon.json  # storage-driver")
    yield _user(info.info)
    yield _disk(info)
    if networks is not None:
        yield _networks(networks, info.info)


def _way_back(trouble: str) -> str:
    lowered = trouble.lower()
    if "permission denied" in lowered:
        return "sudo usermod -aG docker $USER && newgrp docker"
    if "no answer within" in lowered:
        return _RESTART
    if "no docker socket" in lowered or "no such file" in lowered:
        return "sudo apt-get install docker.io && sudo systemctl start docker"
    return _UPGRADE if "upgrade" in lowered else "sudo systemctl start docker"


def _version(version: str, api: str) -> DoctorLine:
    told = f"{version}, spoken to by API {api.removeprefix('v')}"
    parts = tuple(int(part) for part in re.findall(r"\d+", version)[:3])
    if parts and parts < _LEAKS_NO_NAMES:
        why = f"{told}: before 25.0.5 a sealed Space can look up names outside (CVE-2024-29018)"
        return AREA.warning("version", why, _UPGRADE)
    return AREA.ok("version", told)


def _groups(info: Mapping[str, Any]) -> Iterator[DoctorLine]:
    """Whether the kernel holds containers to their limits."""
    kind = f"cgroup v{info.get('CgroupVersion') or '1'} by {info.get('CgroupDriver') or 'an unknown driver'}"
    lacking = [
        name
        for name, key in (("memory", "MemoryLimit"), ("CPU", "CpuCfsQuota"), ("processes", "PidsLimit"))
        if info.get(key) is False
    ]
    if lacking:
        why = f"{kind}: no limit of {', '.join(lacking)} holds, so one Space can take the whole host"
        yield AREA.error("cgroup", why, f"sudoedit /etc/default/grub  # {_GRUB}; then update-grub, reboot")
    elif info.get("SwapLimit") is False:
        why = f"{kind}: a Space that is over its memory swaps before it is stopped"
        yield AREA.warning("cgroup", why, f"sudoedit /etc/default/grub  # {_GRUB}; then update-grub, reboot")
    else:
        yield AREA.ok("cgroup", kind)


def _user(info: Mapping[str, Any]) -> DoctorLine:
    if any("rootless" in str(option) for option in info.get("SecurityOptions") or ()):
        return AREA.ok("rootless", "yes: a container that breaks out is an ordinary user")
    return AREA.ok("rootless", "no: whoever may use its socket is root on this host")


def _disk(info: EngineInfo) -> DoctorLine:
    free = info.disk_free
    if free is None:
        return AREA.ok("disk", "not known from here")
    told = f"{free / 1e9:.1f} GB free at {info.disk}"
    if free < _LITTLE_DISK:
        return AREA.error("disk", f"{told}: no image fits", "spacedock cleanup --images --older-than 1h")
    if free < _LOW_DISK:
        return AREA.warning("disk", f"{told}: few images fit", "spacedock cleanup --images")
    return AREA.ok("disk", told)


def _networks(networks: EngineNetworks, info: Mapping[str, Any]) -> DoctorLine:
    if info.get("IPv4Forwarding") is False:
        why = "this host forwards no packets: Spaces and builds reach nothing"
        return AREA.error("network", why, "sudo sysctl -w net.ipv4.ip_forward=1")
    if networks.count >= _MOST_NETWORKS:
        why = f"{networks.count} networks: its address pools are nearly used up"
        return AREA.warning("network", why, "docker network prune")
    if not networks.default:
        why = "there is no default network: builds that name it fail"
        return AREA.warning("network", why, "sudoedit /etc/docker/daemon.json  # take out bridge: none")
    return AREA.ok("network", f"the default bridge is there, {networks.count} networks in all")


def base_line(base: str, made: str | None, now: datetime) -> DoctorLine:
    """The image that Gradio Spaces are built on: whether it is here (`made` says when), and its age."""
    ours = base.startswith("spacedock/")
    if made is None:
        why = f"{base} is not here: the first build of a Space pulls it"
        return AREA.warning("base image", why, f"docker pull {base}  # or: sudo spacedockd base-image")
    days = (now - datetime.fromisoformat(made)).days if made else None
    if days is None or days > _OLDEST_DAYS:
        # Such as an image that is built to be the same each time.
        return AREA.ok("base image", f"{base}, which does not say when it was made")
    if days > _OLD_DAYS:
        why = f"{base} is {days} days old, and so are its packages"
        anew = f"docker rmi {base} && sudo spacedockd base-image" if ours else f"docker pull {base}"
        return AREA.warning("base image", why, anew)
    return AREA.ok("base image", f"{base}, {days} days old")


def limit_lines(info: EngineInfo, settings: ContainerSettings, build_memory: int) -> Iterator[DoctorLine]:
    """Whether what is configured fits on the host."""
    budget, cpus = info.budget, int(info.info.get("NCPU") or 0)
    if budget is not None:
        fit = min(settings.max_containers, budget // settings.memory)
        told = f"{settings.memory / 2**30:.1f} GB a container, {budget / 2**30:.1f} GB for all of them"
        if fit == 0:
            yield LIMITS.error(
                "memory", f"{told}: none fits", f"SPACEDOCK_CONTAINERS__MEMORY={budget} spacedockd"
            )
        elif fit < settings.max_containers:
            why = f"{told}: {fit} of {settings.max_containers} fit at once"
            yield LIMITS.warning("memory", why, f"SPACEDOCK_CONTAINERS__MAX_CONTAINERS={fit} spacedockd")
        else:
            yield LIMITS.ok("memory", told)
    if info.machine is not None and build_memory > info.machine.memory:
        why = f"a build may take {build_memory / 2**30:.1f} GB, which is more than the host has"
        yield LIMITS.warning(
            "builds", why, f"SPACEDOCK_IMAGES__BUILD_MEMORY={info.machine.memory // 2} spacedockd"
        )
    if settings.cpus and cpus and settings.cpus > cpus:
        why = f"containers ask for {settings.cpus:g} CPUs, and the host has {cpus}: none starts"
        yield LIMITS.error("cpus", why, f"SPACEDOCK_CONTAINERS__CPUS={cpus} spacedockd")
    if info.disk_free is not None and settings.disk > info.disk_free:
        why = f"a Space may write {settings.disk / 1e9:.0f} GB, and {info.disk_free / 1e9:.1f} GB are free"
        yield LIMITS.warning(
            "disk", why, f"SPACEDOCK_CONTAINERS__DISK={max(info.disk_free // 2, 2**20)} spacedockd"
        )


def gpu_lines(info: EngineInfo) -> Iterator[DoctorLine]:
    """The GPUs, and whether the engine can give them to a container."""
    if not info.gpus:
        yield GPU.ok("devices", "none: Spaces that need one run on another host")
        return
    free = (f"{gpu.index}: {gpu.free / 2**30:.1f} of {gpu.total / 2**30:.1f} GB free" for gpu in info.gpus)
    names = ", ".join(free)
    if info.trouble is None and "nvidia" not in (info.info.get("Runtimes") or {}):
        why = f"{names}; the engine has no runtime for them, so no container gets one"
        yield GPU.error("devices", why, f"sudo nvidia-ctk runtime configure --runtime=docker && {_RESTART}")
    else:
        yield GPU.ok("devices", names)
