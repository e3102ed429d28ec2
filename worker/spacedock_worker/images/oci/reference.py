"""Names of images, as Docker reads them and as the Hub makes them (pure)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

DOCKER_HUB = "docker.io"

BUILT_PREFIX = "spacedock/space-"
"""How the names of the images begin that are built here; none of such a name is ever pulled."""

_OWN = "localhost/spacedock/"
_HUB_HOST = "registry-1.docker.io"
_LOOPBACK = ("127.", "localhost", "[::1]")


@dataclass(frozen=True, slots=True)
class Reference:
    """An image at an image registry: `registry` is a host (and port), `name` a path; `digest` is `sha256:…`.

    Where there is neither tag nor digest, Docker takes the tag `latest`.
    """

    registry: str
    name: str
    tag: str | None = None
    digest: str | None = None

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.registry}/{self.name}{tag}" + (f"@{self.digest}" if self.digest else "")

    @property
    def wanted(self) -> str:
        """What is asked for at the image registry: a digest or a tag."""
        return self.digest or self.tag or "latest"

    @property
    def loopback(self) -> bool:
        """Whether the image registry is on this machine: Docker speaks to those without TLS."""
        return self.registry.startswith(_LOOPBACK)

    @property
    def base_url(self) -> str:
        """Where the image registry's HTTP API is."""
        host = _HUB_HOST if self.registry == DOCKER_HUB else self.registry
        return f"{'http' if self.loopback else 'https'}://{host}/v2"

    def tagged(self, tag: str) -> Reference:
        """The same image by that tag."""
        return replace(self, tag=tag, digest=None)

    def pinned(self, digest: str) -> Reference:
        """The same image by that digest alone."""
        return replace(self, tag=None, digest=digest)


def familiar(name: str) -> str:
    """The name as Docker shows it: Podman writes `docker.io/`, and before names of ours `localhost/`."""
    short = name.removeprefix("docker.io/").removeprefix("library/")
    return short.removeprefix("localhost/") if short.startswith(_OWN) else short


def parse_reference(text: str) -> Reference:
    """The parts of an image's name: `alpine` is `docker.io/library/alpine`, as Docker has it."""
    rest, _, digest = text.partition("@")
    first, slash, path = rest.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        registry = DOCKER_HUB if first == "index.docker.io" else first
    else:
        registry, path = DOCKER_HUB, rest
    name, _, tag = path.partition(":")
    if registry == DOCKER_HUB and "/" not in name:
        name = f"library/{name}"
    return Reference(registry, name, tag or None, digest or None)


_COMMIT_TAG = re.compile(r"(?:([a-z0-9]+)-)?([0-9a-f]{7,40})")


def subdomain_of(hub_id: str) -> str:
    """The subdomain by the rule that is known; long names are cut by one that only the Hub knows."""
    return re.sub(r"[^a-z0-9-]", "-", hub_id.lower())


def choose_tag(tags: Sequence[str], sha: str | None) -> str | None:
    """The tag to pull: `latest`, else that of the Space's commit, else the last that names a commit.

    Tags such as `cpu-0123abc` carry the first 7 hex digits of the commit. Where the commit is known and has
    no tag, an image of another one would be old: None, so that it is built.
    """
    if "latest" in tags:
        return "latest"
    named = [tag for tag in tags if commit_of(tag)]
    if sha:
        named = [tag for tag in named if sha.startswith(commit_of(tag) or sha)]
    # The image for CPUs runs everywhere; image registries list tags in no order of time.
    return max(enumerate(named), key=lambda pair: (pair[1].startswith("cpu-"), pair[0]))[1] if named else None


def commit_of(tag: str) -> str | None:
    """The first hex digits of the commit that the tag names; None where it names none."""
    found = _COMMIT_TAG.fullmatch(tag)
    return found.group(2) if found else None


def revision_of(tag: str | None, sha: str | None) -> str | None:
    """The commit in `tag`: whole where it is `sha`'s, else as much of it as the tag says."""
    commit = commit_of(tag) if tag else None
    return sha if commit and sha and sha.startswith(commit) else commit
