"""How an image registry asks for a login: the header WWW-Authenticate (pure)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

_PARAMETER = re.compile(r'([a-zA-Z_]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')


@dataclass(frozen=True, slots=True)
class Challenge:
    """The login that is asked for: by name and password, or by a token of the server at `realm`."""

    scheme: Literal["basic", "bearer"]
    realm: str = ""
    service: str = ""
    scope: str = ""

    def safe_for(self, loopback: bool) -> bool:
        """Whether a password may be sent to `realm`: never in the clear, unless to this machine."""
        parts = urlsplit(self.realm)
        if parts.scheme == "https" and parts.hostname:
            return True
        return loopback and parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost", "::1")


def read_challenge(header: str) -> Challenge | None:
    """The challenge in the header (RFC 7235, and Docker's token authentication); None where it is another."""
    scheme, _, rest = header.strip().partition(" ")
    if scheme.lower() == "basic":
        return Challenge("basic")
    if scheme.lower() != "bearer":
        return None
    found = {name.lower(): quoted or bare for name, quoted, bare in _PARAMETER.findall(rest)}
    realm = found.get("realm", "")
    if not realm:
        return None
    return Challenge("bearer", realm, found.get("service", ""), found.get("scope", ""))
