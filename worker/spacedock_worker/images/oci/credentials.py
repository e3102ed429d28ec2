"""Logins at image registries: the Hub's token, and what `docker login` has kept."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from spacedock_worker.background import said_by
from spacedock_worker.images.oci.reference import DOCKER_HUB
from spacedock_worker.images.settings import ImageSettings

log = structlog.get_logger()

_HELPER_SECONDS = 15.0
_HELPER_NAME = re.compile(r"[A-Za-z0-9._-]+")
_HUB_KEY = "https://index.docker.io/v1/"
_TOKEN_USER = "<token>"
_CONFIG_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Credentials:
    """A login at one image registry: a name and password, or an identity token; never shown."""

    username: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    identity_token: str | None = field(default=None, repr=False)

    def for_engine(self) -> dict[str, str]:
        """What the engine is sent with a pull."""
        if self.identity_token:
            return {"identitytoken": self.identity_token}
        return {"username": self.username, "password": self.password}


class Keyring:
    """Finds the login of an image registry; each is given to that image registry only."""

    def __init__(self, settings: ImageSettings) -> None:
        self._settings = settings

    async def find(self, registry: str) -> Credentials | None:
        """The login for the image registry of that host; None where there is none.

        The Hub's token goes to the Hub's own image registry. For others, Docker's configuration counts: its
        credential helpers before what it holds itself. What cannot be read is logged and counts as none.
        """
        token = self._settings.hub_token
        if token and registry == self._settings.hub_registry:
            # The Hub looks at the token alone.
            return Credentials("user", token)
        config = await asyncio.to_thread(_config, self._settings.docker_config)
        helper = _mapping(config.get("credHelpers")).get(registry) or config.get("credsStore")
        if isinstance(helper, str) and helper and (found := await _from_helper(helper, registry)):
            return found
        return _from_auths(_mapping(config.get("auths")), registry)


def _config(folder: Path | None) -> Mapping[str, Any]:
    """Docker's config.json in `folder`; empty where there is none, or it cannot be read."""
    if folder is None:
        return {}
    try:
        with (folder / "config.json").open("rb") as file:
            return _mapping(json.loads(file.read(_CONFIG_BYTES)))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        log.warning("image.login_unreadable", folder=str(folder), reason=type(error).__name__)
        return {}


def _from_auths(auths: Mapping[str, Any], registry: str) -> Credentials | None:
    for key, entry in auths.items():
        if _host(key) == registry:
            return _decoded(_mapping(entry))
    return None


def _host(key: str) -> str:
    """The image registry that a key of `auths` means: older Dockers wrote URLs."""
    host = key.split("://", 1)[-1].split("/", 1)[0]
    return DOCKER_HUB if host in ("index.docker.io", "registry-1.docker.io") else host


def _decoded(entry: Mapping[str, Any]) -> Credentials | None:
    if isinstance(token := entry.get("identitytoken"), str) and token:
        return Credentials(identity_token=token)
    try:
        name, _, password = base64.b64decode(str(entry.get("auth") or "")).decode().partition(":")
    except ValueError:
        return None
    # Docker itself ends what it writes with a NUL at times.
    password = password.strip("\0")
    return Credentials(name, password) if name and password else None


async def _from_helper(helper: str, registry: str) -> Credentials | None:
    """What `docker-credential-HELPER get` says; None where it knows nothing, fails or takes too long."""
    if not _HELPER_NAME.fullmatch(helper):
        return None
    key = _HUB_KEY if registry == DOCKER_HUB else registry
    try:
        program = f"docker-credential-{helper}"
        said = await said_by(program, "get", to=key.encode(), seconds=_HELPER_SECONDS)
        # With an error it says that it knows nothing.
        answer = _mapping(json.loads(said)) if said else {}
    except (OSError, ValueError, TimeoutError) as error:
        log.warning("image.login_helper_failed", helper=helper, reason=type(error).__name__)
        return None
    name, secret = answer.get("Username"), answer.get("Secret")
    if not isinstance(name, str) or not isinstance(secret, str) or not secret:
        return None
    return Credentials(identity_token=secret) if name == _TOKEN_USER else Credentials(name, secret)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
