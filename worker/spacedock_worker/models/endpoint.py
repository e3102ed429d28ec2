"""A language model's address: where it listens, which model it is asked for, and what it can take."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from spacedock.request import Tier

ModelKind = Literal["text", "image"]


class ModelEndpoint(BaseModel):
    """An OpenAI-compatible endpoint; immutable.

    `base_url` ends where `/models` and `/chat/completions` begin, mostly in `/v1`; `socket` is a unix
    socket to connect through instead of its host; `state_socket` one that tells how the daemon's own server
    stands. Without `model`, the first chat model that the endpoint lists answers; on this machine or a
    private network only one that runs there. `others` are asked in their order where the server has no chat
    for `model`. `parallel` is how many prompts it is asked at once. Without `max_tokens`
    an answer ends where the server ends it. `stand_in_for` is the model that this one replaces, said in every
    answer. Times are seconds: `load_timeout` for a model that loads,
    `connect_timeout` for an endpoint that refuses connections.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1)
    base_url: str
    model: str | None = None
    others: tuple[str, ...] = ()
    api_key: SecretStr | None = None
    socket: Path | None = None
    state_socket: Path | None = None
    tier: Tier = Tier.FAST
    accepts: frozenset[ModelKind] = frozenset({"text"})
    load_timeout: float = Field(default=120.0, gt=0, le=7200)
    connect_timeout: float = Field(default=5.0, gt=0, le=600)
    max_tokens: int | None = Field(default=None, gt=0)
    parallel: int = Field(default=4, ge=1)
    stand_in_for: str | None = None

    @model_validator(mode="after")
    def _is_an_address(self) -> Self:
        parts = urlsplit(self.base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(
                f"'{self.base_url}' is not a base URL: give one such as http://localhost:11434/v1"
            )
        if self.tier not in (Tier.FAST, Tier.DEFAULT):
            raise ValueError(f"a model's tier is 'fast' or 'default', not '{self.tier}'")
        return self

    @property
    def local(self) -> bool:
        """Whether prompts stay on this machine or its private network: no proxy is used then."""
        return self.socket is not None or _is_private(self._host)

    @property
    def private(self) -> bool:
        """Whether the model may be asked in privacy mode: it runs on this machine."""
        return (self.socket is not None or _is_here(self._host)) and not in_cloud(self.model or "")

    @property
    def _host(self) -> str:
        return (urlsplit(self.base_url).hostname or "").rstrip(".")


def in_cloud(model: str) -> bool:
    """Whether the name is one that a local Ollama hands on to its cloud."""
    return model.lower().endswith(("-cloud", ":cloud"))


def _is_here(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def _is_private(host: str) -> bool:
    if _is_here(host) or host.endswith((".local", ".internal")):
        return True
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return "." not in host
