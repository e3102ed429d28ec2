"""What an image is, from what the engine says of it and from the labels of our builds (pure)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from spacedock_worker.containers.settings import LONGEST_START
from spacedock_worker.containers.spec import DEFAULT_PORT
from spacedock_worker.images.build.dockerfile import HOME
from spacedock_worker.images.oci.reference import BUILT_PREFIX, familiar, parse_reference
from spacedock_worker.images.source import Image

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
