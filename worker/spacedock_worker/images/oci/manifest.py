"""What an image registry says of an image: its layers and their sizes (pure)."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spacedock.result import ErrorKind, Stage
from spacedock_worker.errors import StepError

INDEX_TYPES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
MANIFEST_TYPES = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_WORD = re.compile(r"[a-z0-9._-]{0,32}")
_MAX_LAYERS = 1000
_MAX_PLATFORMS = 100
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}


@dataclass(frozen=True, slots=True)
class ImageManifest:
    """An image of one platform: the sizes of its layers by their digests, in bytes as they are downloaded.

    `config` is the digest of its configuration, which names its platform.
    """

    layers: Mapping[str, int]
    config: str | None = None

    @property
    def size(self) -> int:
        """The bytes of the whole download; layers that this host has already are counted too."""
        return sum(self.layers.values())


@dataclass(frozen=True, slots=True)
class Platform:
    """What an engine runs, in the words of image registries ("linux", "amd64"; "v7" of "arm")."""

    os: str = "linux"
    architecture: str = "amd64"
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(filter(None, (self.os, self.architecture, self.variant)))


def platform_of(info: Mapping[str, Any]) -> Platform:
    """The platform of the engine that gave this answer to `GET /info`."""
    machine = str(info.get("Architecture") or "x86_64")
    return Platform(str(info.get("OSType") or "linux"), _ARCHITECTURES.get(machine, machine))


def read_manifest(content: bytes, platform: Platform) -> ImageManifest | str | None:
    """A manifest; or of an index the digest of the manifest for `platform`; None where it is neither.

    Follows the OCI Image Format 1.1 and Docker's Image Manifest V2, Schema 2.
    """
    try:
        document = json.loads(content)
        if isinstance(document.get("manifests"), list):
            return _chosen(document["manifests"], platform)
        layers = {str(layer["digest"]): int(layer["size"]) for layer in document["layers"][:_MAX_LAYERS]}
    except (ValueError, AttributeError, KeyError, TypeError, RecursionError):
        return None
    sound = all(_DIGEST.fullmatch(digest) and size >= 0 for digest, size in layers.items())
    return ImageManifest(layers, _config(document)) if sound else None


def read_platforms(content: bytes) -> tuple[Platform, ...]:
    """The platforms of an index, or that of an image's configuration; empty where it names none."""
    try:
        document = json.loads(content)
        listed = document.get("manifests")
        rows = [row.get("platform") or {} for row in listed] if isinstance(listed, list) else [document]
        found = [_platform(row) for row in rows[:_MAX_PLATFORMS]]
    except (ValueError, AttributeError, TypeError, RecursionError):
        return ()
    return tuple(dict.fromkeys(platform for platform in found if platform is not None))


def _platform(row: Mapping[str, Any]) -> Platform | None:
    words = [str(row.get(key) or "") for key in ("os", "architecture", "variant")]
    # Build attestations are listed as images of the platform "unknown/unknown".
    known = (
        bool(words[0] and words[1])
        and all(_WORD.fullmatch(word) for word in words)
        and "unknown" not in words
    )
    return Platform(*words) if known else None


def _config(document: Mapping[str, Any]) -> str | None:
    config = document.get("config")
    digest = str(config.get("digest")) if isinstance(config, dict) else ""
    return digest if _DIGEST.fullmatch(digest) else None


def _chosen(manifests: list[Any], platform: Platform) -> str | None:
    for manifest in manifests:
        said = manifest.get("platform") or {}
        fits = (said.get("os"), said.get("architecture")) == (platform.os, platform.architecture)
        if fits and platform.variant in ("", said.get("variant")):
            digest = str(manifest["digest"])
            return digest if _DIGEST.fullmatch(digest) else None
    return None


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
