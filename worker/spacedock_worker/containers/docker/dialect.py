"""Which version of the Engine API is spoken to an engine: the newest that both know, out of those tried."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from spacedock.errors import SpacedockError

Version = tuple[int, int]

OLDEST: Version = (1, 41)
"""The API of Engine 20.10: older ones do not know every wall that a container is given."""

NEWEST: Version = (1, 51)
"""The API of Engine 28.5, the newest that was tried: newer ones drop fields that are read here."""

_ISOLATED_GATEWAY: Version = (1, 44)
_VERSION = re.compile(r"(\d+)\.(\d+)")


class UnspeakableError(SpacedockError):
    """There is no version of the API that both the engine and this Spacedock speak."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How an engine is spoken to: its own `version`, such as "28.5.2", and the version of its API.

    `podman` says that it is Podman, which has Docker's API beside its own. Its networks ignore
    `enable_icc=false`: containers of one network reach each other.
    """

    version: str
    api: Version
    podman: bool = False

    @property
    def path(self) -> str:
        """The version as paths of the API begin with it, such as "v1.51"."""
        return f"v{self.api[0]}.{self.api[1]}"

    @property
    def leads_to_host(self) -> bool:
        """Whether containers on an internal network can have a route to this host: before Engine 25."""
        return self.api < _ISOLATED_GATEWAY and not self.podman


def dialect_of(found: Mapping[str, Any]) -> Dialect:
    """What to speak to the engine that answers `GET /version` so (pure). Raises UnspeakableError."""
    version = str(found.get("Version") or "unknown")
    components = found.get("Components") or ()
    podman = any("Podman" in str(part.get("Name")) for part in components if isinstance(part, Mapping))
    name = f"{'Podman' if podman else 'Docker Engine'} {version}"
    newest, oldest = _parsed(found.get("ApiVersion")), _parsed(found.get("MinAPIVersion"))
    if newest is None:
        raise UnspeakableError(f"{name} does not say which API it speaks")
    if newest < OLDEST:
        raise UnspeakableError(
            f"{name} speaks API {_text(newest)}, and Spacedock needs {_text(OLDEST)} or newer. "
            "Upgrade it to Docker Engine 20.10 or newer"
        )
    if oldest is not None and oldest > NEWEST:
        raise UnspeakableError(
            f"{name} speaks API {_text(oldest)} and newer, and this Spacedock {_text(NEWEST)} and older. "
            "Upgrade Spacedock, or lower `min-api-version` in the engine's daemon.json"
        )
    return Dialect(version, min(newest, NEWEST), podman)


def _parsed(text: object) -> Version | None:
    found = _VERSION.fullmatch(str(text))
    return (int(found[1]), int(found[2])) if found else None


def _text(version: Version) -> str:
    return f"{version[0]}.{version[1]}"
