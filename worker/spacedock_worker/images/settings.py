"""The settings of pulling and building."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

SYSTEM_PACKAGES = (
    *("ffmpeg", "git", "libgl1", "libglib2.0-0", "libsm6", "libxext6"),
    *("bzip2", "curl", "file", "git-lfs", "make", "procps", "rsync", "unzip", "wget", "xz-utils"),
)
"""The Debian packages of HF's own image that Spaces count on: sound, video, OpenCV, tools, git+https."""

FULL_PACKAGES = (
    *("build-essential", "cmake", "nodejs", "pkg-config", "python3-dev"),
    *("autoconf", "automake", "libtool", "imagemagick"),
    *("default-libmysqlclient-dev", "libbz2-dev", "libcurl4-openssl-dev", "libffi-dev", "libjpeg-dev"),
    *("liblzma-dev", "libpng-dev", "libpq-dev", "libreadline-dev", "libsqlite3-dev", "libssl-dev"),
    *("libwebp-dev", "libxml2-dev", "libxslt1-dev", "libyaml-dev", "zlib1g-dev"),
)
"""The large ones, most of them what packages of Python are compiled with."""


class ImageSettings(BaseModel):
    """How images are made; immutable. Times are in seconds.

    `base_images` maps a Python version ("3.11") to an image; `ca_bundle` is a PEM file that builds and
    Spaces trust besides (a company's proxy); `extra_index_url` is another package index for pip;
    images together may take `image_budget` bytes (None: as long as the engine's disk is not nearly full);
    `system_packages` are installed in every image that is built, before the Space's own packages.txt, and
    `full_packages` in those of the full flavour.
    At most `max_builds` are built at once; a step of a build may take `build_memory` bytes, and all of it
    `build_timeout`. `buildkit_image` has a Docker Engine and buildx in it, for Dockerfiles that take BuildKit
    (None: one is made here, of Debian's packages).

    With `pull_hub_images` a Space that is known by its Hub id alone is asked for at `hub_registry`, where the
    Hub keeps the images of Spaces, before it is built. With `hub_offline` the Hub is asked nothing, as with
    HF_HUB_OFFLINE in the environment. `hub_token` is the login at the Hub and there,
    `docker_config` the folder of Docker's config.json with the logins elsewhere (None: there are none).
    `scratch` is a folder for what is being downloaded (None: the system's), for whoever starts the worker
    to empty.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    base_images: dict[str, str] = Field(default_factory=dict)
    ca_bundle: Path | None = None
    extra_index_url: str | None = None
    system_packages: tuple[str, ...] = SYSTEM_PACKAGES
    full_packages: tuple[str, ...] = FULL_PACKAGES
    pull_timeout: float = Field(default=1800.0, gt=0, le=86_400)
    build_timeout: float = Field(default=1800.0, gt=0, le=86_400)
    build_memory: int = Field(default=4 * 2**30, ge=2**28)
    max_builds: int = Field(default=2, ge=1)
    buildkit_image: str | None = None
    image_budget: int | None = Field(default=None, ge=0)
    hub_endpoint: str | None = None
    hub_offline: bool = False
    hub_token: str | None = Field(default=None, repr=False)
    hub_registry: str = "registry.hf.space"
    pull_hub_images: bool = True
    docker_config: Path | None = None
    scratch: Path | None = None
