"""What an image is made from, and what it is by the engine's words and by the labels of our builds."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spacedock_worker.containers.settings import LONGEST_START
from spacedock_worker.containers.spec import DEFAULT_PORT
from spacedock_worker.images.build.dockerfile import HOME
from spacedock_worker.images.oci.manifest import Platform, parse_platform
from spacedock_worker.images.oci.reference import BUILT_PREFIX, familiar, parse_reference

SecretsOf = Callable[[str], Awaitable[Mapping[str, str]]]
"""Gives the values of a Space's secrets, by its name."""

HUB_LABEL = "io.spacedock.hub"
REVISION_LABEL = "io.spacedock.revision"

_SPACE_LABEL = "io.spacedock.space"
_PORT_LABEL = "io.spacedock.port"
_PATH_LABEL = "io.spacedock.base-path"
_START_LABEL = "io.spacedock.start-timeout"
_FLAVOUR_LABEL = "io.spacedock.flavour"
_SECRETS_LABEL = "io.spacedock.built-with-secrets-of"
_FOLDER = re.compile(r"(?:/[A-Za-z0-9._-]+)+")
_BARE = frozenset({(), ("python",), ("python3",), ("bash",), ("/bin/bash",), ("sh",), ("/bin/sh",)})


@dataclass(frozen=True, slots=True)
class SpaceSource:
    """Where a Space's image can come from; what is None is not available.

    `docker_image` is present or pulled; `repository` is a directory or a tar of this host, or a tar that a
    client sent (untrusted); `hub_id` names a Space on the Hub. `command` and `port` override the image's own.

    `subdomain` is the name that the Hub's image registry has its image by (None: the Hub is asked), and
    `platform` that of an image that is pulled ("linux/arm64"; None: the engine's own).

    `flavour` is that of the base which a Gradio Space is built on: "slim", "full", or "auto".

    A locked Space has `digest`, the image to run (the image registry's digest, or the image's id) and no
    other. `revision` is the commit of the Hub's repository to build. A repository goes before a revision.

    `secrets` are the names of those that its build may have.
    """

    name: str
    docker_image: str | None = None
    repository: Path | bytes | None = None
    hub_id: str | None = None
    command: tuple[str, ...] | None = None
    port: int | None = None
    revision: str | None = None
    digest: str | None = None
    subdomain: str | None = None
    platform: str | None = None
    flavour: str = "auto"
    secrets: frozenset[str] = frozenset()

    @property
    def wanted_platform(self) -> Platform | None:
        """The platform of an image that is pulled; None: the engine's own."""
        return parse_platform(self.platform) if self.platform else None

    @property
    def buildable(self) -> bool:
        """Whether there is a repository to build from."""
        return self.repository is not None or self.hub_id is not None


@dataclass(frozen=True, slots=True)
class Image:
    """An image that is present on this host.

    `digest` is the image registry's where the image was pulled, else the image's id (both `sha256:…`);
    `command` is None where the image's own is right; the app listens on `port` and answers below
    `base_path`. `built` says that we made it from a repository; `cache` is where its app keeps what it
    downloads. `revision` is the commit of the Hub's repository that it was built from, as far as that is
    known (at least 7 hex digits). `id` is the engine's id of it, which it keeps where it is saved and loaded.
    `start_timeout` is the time that its author asks for (`startup_duration_timeout`), in seconds.
    `flavour` is that of its base ("slim" or "full"), where we made its Dockerfile.
    """

    reference: str
    digest: str
    command: tuple[str, ...] | None = None
    port: int = DEFAULT_PORT
    base_path: str = ""
    built: bool = False
    cache: str | None = None
    revision: str | None = None
    id: str = ""
    start_timeout: float | None = None
    flavour: str = ""


def labels_of(
    space: str,
    hub_id: str | None,
    revision: str | None,
    port: int,
    base_path: str,
    start_seconds: int | None = None,
    flavour: str = "",
    secrets_of: str = "",
) -> dict[str, str]:
    """The labels of an image that is built: all of them, so that none of its base or of its own counts.

    `secrets_of` names the Space whose secrets were given to its build.
    """
    return {
        _SPACE_LABEL: space,
        HUB_LABEL: hub_id or "",
        REVISION_LABEL: revision or "",
        _PORT_LABEL: str(port),
        _PATH_LABEL: base_path,
        _START_LABEL: str(start_seconds or ""),
        _FLAVOUR_LABEL: flavour,
        _SECRETS_LABEL: secrets_of,
    }


def described(reference: str, found: Mapping[str, Any]) -> Image:
    """The image that the engine describes by `found` (its inspect answer).

    The Hub's images of Gradio Spaces have no command of their own, or only the interpreter's: HF's "Run
    locally" starts them by `python app.py`.
    """
    config = found.get("Config") or {}
    if is_built(reference, found):
        return _built(reference, found, config)
    bare = not config.get("Entrypoint") and tuple(config.get("Cmd") or ()) in _BARE
    return Image(
        reference,
        digest=digest_of(reference, found),
        command=("python", "app.py") if bare else None,
        cache=_cache(config),
        id=found["Id"],
    )


def is_built(reference: str, found: Mapping[str, Any]) -> bool:
    """Whether we built it: only then are its labels ours.

    `found` is the engine's inspect answer, or its row in the list of images. An image of that name from
    Docker Hub has a digest beside its id. In containerd's store the id is that digest, and Podman, which
    writes names out in full, gives every image a digest: there our label decides.
    """
    if not familiar(reference).startswith(BUILT_PREFIX) or _SPACE_LABEL not in _labels(found):
        return False
    digests = (one.partition("@") for one in found.get("RepoDigests") or ())
    return all(digest == found["Id"] for name, _, digest in digests if name.startswith(BUILT_PREFIX))


def is_for(space: str, found: Mapping[str, Any]) -> bool:
    """Whether a Space may have what we built: what was built with secrets is for the one whose they are."""
    return _labels(found).get(_SECRETS_LABEL, "") in ("", space)


def digest_of(reference: str, found: Mapping[str, Any]) -> str:
    """The image registry's digest of the image, else its id; one image may have come from several."""
    wanted = parse_reference(reference)
    known = [parse_reference(digest) for digest in found.get("RepoDigests") or ()]
    own = [one for one in known if (one.registry, one.name) == (wanted.registry, wanted.name)]
    digests = [one.digest for one in own or known if one.digest]
    return digests[0] if digests else str(found["Id"])


def _built(reference: str, found: Mapping[str, Any], config: Mapping[str, Any]) -> Image:
    labels = _labels(found)
    port = str(labels.get(_PORT_LABEL) or "")
    return Image(
        reference,
        digest=found["Id"],
        port=int(port) if port.isdecimal() else DEFAULT_PORT,
        base_path=labels.get(_PATH_LABEL) or "",
        built=True,
        cache=_cache(config),
        revision=labels.get(REVISION_LABEL) or None,
        id=found["Id"],
        start_timeout=_start_timeout(str(labels.get(_START_LABEL) or "")),
        flavour=flavour_of(found),
    )


def flavour_of(found: Mapping[str, Any]) -> str:
    """The flavour of the base that an image of ours was built on; empty where its Dockerfile is its own."""
    return str(_labels(found).get(_FLAVOUR_LABEL) or "")


def _start_timeout(seconds: str) -> float | None:
    """A stranger's wish, within what the host's own entries may ask for."""
    return min(float(seconds[:9]), LONGEST_START) if seconds.isdecimal() else None


def _labels(found: Mapping[str, Any]) -> Mapping[str, str]:
    return (found.get("Config") or found).get("Labels") or {}


def _cache(config: Mapping[str, Any]) -> str:
    """Where its app keeps what it downloads from the Hub, as huggingface_hub finds it."""
    environment = dict(
        pair.split("=", 1) for pair in config.get("Env") or () if isinstance(pair, str) and "=" in pair
    )
    own, home = environment.get("HF_HOME", ""), environment.get("HOME", "")
    return own if _is_folder(own) else f"{home if _is_folder(home) else HOME}/.cache"


def _is_folder(path: str) -> bool:
    """Whether a volume can be mounted there: an image may say anything."""
    return bool(_FOLDER.fullmatch(path)) and ".." not in path.split("/")
