"""The images that a Space's own Dockerfile builds on or copies from: which it may have, and getting them."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from typing import Any

from spacedock.errors import BadRequestError
from spacedock.result import ErrorKind, Stage
from spacedock_worker.containers.docker.create_body import SPACE_LABEL
from spacedock_worker.containers.docker.engine import Engine
from spacedock_worker.errors import StepError
from spacedock_worker.images.build.admission import ForbiddenError, Wants, examine_triggers
from spacedock_worker.images.build.blueprint import forbidden
from spacedock_worker.images.oci.reference import DOCKER_HUB, parse_reference
from spacedock_worker.images.pulls import Pulls, inspect
from spacedock_worker.images.settings import ImageSettings

_RESOLVE_SECONDS = 5.0
_OUR_BASE = re.compile(r"(?:(?:docker\.io|localhost)/)?spacedock/python(?::[\w.-]+)?")
_OURS = re.compile(r"(?:[^/@]*/)?spacedock/(?!python[:@])")
_ID = re.compile(r"(?:sha256:)?[0-9a-f]{1,64}")
_ANOTHERS = "which is another Space's"
_OUR_LABELS = "io.spacedock."


class Borrowing:
    """Gets images for builds: those of image registries, and of this host only what Spaces are built on."""

    def __init__(self, engine: Engine, settings: ImageSettings, pulls: Pulls) -> None:
        self._engine, self._settings, self._pulls = engine, settings, pulls

    async def get(self, wants: Wants, on_progress: Callable[[str], None]) -> frozenset[str]:
        """Have all of them on this host when this returns; their names, with those that they want.

        Raises StepError at stage `build`: `unsupported` for one that it may not have, `build_failed` for one
        that cannot be pulled, `docker_unavailable`.
        """
        copied = set(wants.copied)
        try:
            for name in sorted(wants.bases):
                found = await self._one(name, on_progress)
                triggers = (found.get("Config") or {}).get("OnBuild") or ()
                copied |= examine_triggers(name, map(str, triggers)).copied
            for name in sorted(copied):
                await self._one(name, on_progress)
            return frozenset(wants.bases | copied)
        except ForbiddenError as error:
            raise forbidden(str(error)) from error

    async def _one(self, name: str, on_progress: Callable[[str], None]) -> Mapping[str, Any]:
        allowed = name in self._settings.base_images.values()
        base = _OUR_BASE.fullmatch(name) is not None
        if not allowed and not base:
            await _check_name(name)
        found = await inspect(self._engine, name, Stage.BUILD)
        if found is None:
            if base and not allowed:
                # Whatever an image registry has by that name would be every other Space's base from then on.
                raise _not_for_strangers(name, "which is not here: `spacedockd base-image` makes it")
            return await self._pulled(name, on_progress)
        if not allowed and not base and (why := why_not(found)):
            raise _not_for_strangers(name, why)
        return found

    async def _pulled(self, name: str, on_progress: Callable[[str], None]) -> Mapping[str, Any]:
        try:
            return await self._pulls.base(name, on_progress)
        except StepError as error:
            if error.kind is not ErrorKind.PULL_FAILED:
                raise
            message = f"the image {name} of the Space's Dockerfile cannot be pulled ({error})"
            raise StepError(Stage.BUILD, ErrorKind.BUILD_FAILED, message) from error


def why_not(found: Mapping[str, Any]) -> str | None:
    """Why an image of this host is not for strangers; None where it came from an image registry (pure)."""
    names = [*(found.get("RepoTags") or ()), *(found.get("RepoDigests") or ())]
    labels = (found.get("Config") or {}).get("Labels") or {}
    if any(_OURS.match(name) for name in names) or any(label.startswith(_OUR_LABELS) for label in labels):
        return _ANOTHERS
    return None if found.get("RepoDigests") else "which is of this host alone"


def _not_for_strangers(name: str, why: str) -> ForbiddenError:
    return ForbiddenError(
        f"it uses the image {name}, {why}. The setting `base_images` can allow it by its name"
    )


async def check_named(engine: Engine, name: str, space: str) -> None:
    """Whether a client may name that image as the one of this Space.

    Raises BadRequestError for what was built for another Space, by whatever name; for an id, which may become
    another's; and where the engine cannot say.
    """
    problem = f"Space '{space}': the image {name}"
    if _ID.fullmatch(name):
        raise BadRequestError(f"{problem} is an id, or may be taken for one: give its name with its tag")
    try:
        found = await inspect(engine, name, Stage.PULL)
    except StepError as error:
        raise BadRequestError(f"{problem} cannot be looked at ({error})") from error
    labels = ((found or {}).get("Config") or {}).get("Labels") or {}
    owner = labels.get(SPACE_LABEL)
    if owner not in (None, space) or (_OURS.match(name) and owner is None):
        raise BadRequestError(
            f"{problem} is another Space's. Add that Space's repository, as a directory or from the Hub"
        )


async def _check_name(name: str) -> None:
    """Raises ForbiddenError for one of ours, and where the image registry is this machine."""
    if _OURS.match(name):
        raise _not_for_strangers(name, _ANOTHERS)
    registry = parse_reference(name).registry
    if registry == DOCKER_HUB:
        return
    host = registry.rpartition(":")[0] or registry
    try:
        looking = asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
        found = await asyncio.wait_for(looking, _RESOLVE_SECONDS)
    except (OSError, ValueError):
        # It has no address that the engine could reach by itself; it may have a proxy that knows one.
        return
    if any(is_here(str(address[4][0])) for address in found):
        raise _not_for_strangers(name, "whose image registry is this host")


def is_here(address: str) -> bool:
    """Whether the address leads to this machine, or to what only its own network knows."""
    ip = ip_address(address.partition("%")[0])
    mapped = getattr(ip, "ipv4_mapped", None) or ip
    if mapped.is_loopback or mapped.is_link_local or mapped.is_unspecified or mapped.is_multicast:
        return True
    family = socket.AF_INET if mapped.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            # Only addresses of this machine can be bound.
            probe.bind((str(mapped), 0))
    except OSError:
        return False
    return True
