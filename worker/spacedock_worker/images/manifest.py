"""What an image registry says of an image: its layers and their sizes (pure)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

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
class Manifest:
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


def read_manifest(content: bytes, platform: Platform) -> Manifest | str | None:
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
    return Manifest(layers, _config(document)) if sound else None


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
