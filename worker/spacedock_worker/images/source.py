"""What an image is made from, and what comes of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from spacedock_worker.containers.spec import DEFAULT_PORT
from spacedock_worker.images.oci.manifest import Platform, parse_platform

SecretsOf = Callable[[str], Awaitable[Mapping[str, str]]]
"""Gives the values of a Space's secrets, by its name."""


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
