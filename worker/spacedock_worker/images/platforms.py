"""Which platforms a host runs: its own, those that its processor runs besides, and emulated ones."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from spacedock.result import ErrorKind, Stage
from spacedock_worker.errors import StepError
from spacedock_worker.images.manifest import Platform, platform_of

_BINFMT = Path("/proc/sys/fs/binfmt_misc")
_BESIDES = frozenset({("amd64", "386"), ("arm64", "arm")})
# QEMU's names for what image registries call otherwise.
_QEMU = {"amd64": "x86_64", "arm64": "aarch64", "386": "i386"}


def parse_platform(text: str) -> Platform:
    """The platform in "linux/amd64" or "linux/arm/v7"."""
    os, architecture, *variant = text.split("/")
    return Platform(os, architecture, *variant[:1])


def can_run(wanted: Platform, info: Mapping[str, Any], emulators: Collection[str]) -> bool:
    """Whether the engine that gave `info` (its answer to `GET /info`) runs images of that platform (pure)."""
    own = platform_of(info)
    if wanted.os != own.os:
        return False
    if wanted.architecture == own.architecture or (own.architecture, wanted.architecture) in _BESIDES:
        return True
    # Docker Desktop brings emulators of its own, inside its virtual machine.
    desktop = "Docker Desktop" in str(info.get("OperatingSystem"))
    return desktop or _QEMU.get(wanted.architecture, wanted.architecture) in emulators


def is_of(found: Mapping[str, Any], wanted: Platform | None) -> bool:
    """Whether the image that the engine describes by `found` is of the platform; None: any will do (pure)."""
    if wanted is None:
        return True
    same = (found.get("Os"), found.get("Architecture")) == (wanted.os, wanted.architecture)
    return same and wanted.variant in ("", found.get("Variant") or "")


def emulators() -> frozenset[str]:
    """The architectures, in QEMU's words, that this host's kernel hands to an emulator. Blocks."""
    try:
        return frozenset(path.name.removeprefix("qemu-") for path in _BINFMT.glob("qemu-*"))
    except OSError:
        return frozenset()


def check_platform(space: str, wanted: Platform, info: Mapping[str, Any], known: Collection[str]) -> None:
    """Raise StepError `unsupported` where the engine's host cannot run images of that platform."""
    if can_run(wanted, info, known):
        return
    message = (
        f"{space} asks for the platform {wanted}, and this host runs {platform_of(info)} only. Take "
        "`platform` out of its registry entry, run it on another host, or install an emulator "
        "(qemu-user-static)."
    )
    raise StepError(Stage.PULL, ErrorKind.UNSUPPORTED, message)
