"""What can be configured of the HTTP door and of webhooks; no package for HTTP is imported here."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_address
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from spacedock.files import MAX_JOB_BYTES

FIRST_PORT = 7788


class HttpLimits(BaseModel):
    """What one client of the HTTP door may take; immutable.

    `body` is the bytes of one request. A connection that sends no whole head of a request for `idle_seconds`
    is closed. A body may take `body_seconds`, and a second more for each 16 kB of it. Each token may make
    `rate` requests a second (ten seconds' worth at once), and have `concurrent` of them open.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    body: int = Field(default=MAX_JOB_BYTES + 2**22, ge=2**20)
    idle_seconds: float = Field(default=20.0, gt=0, le=3600)
    body_seconds: float = Field(default=30.0, gt=0, le=3600)
    rate: float = Field(default=500.0, gt=0)
    concurrent: int = Field(default=2000, ge=1)
    connections: int = Field(default=4000, ge=1)


class HttpSettings(BaseModel):
    """Where HTTP is served, and to whom; immutable. `http: off` serves none.

    Without `port` it is 7788, or the next free one. The unix socket (default: http.sock in `runtime_dir`)
    needs no token: its directory is this user's. `token: none` asks for none on loopback either.
    `tls_cert` and `tls_key` are files in PEM; `trusted_proxies` are networks whose X-Forwarded headers are
    believed. `allowed_hosts` are names by which clients may call this host, beside localhost and addresses.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = "127.0.0.1"
    port: int | None = Field(default=None, ge=1, le=65_535)
    socket: Path | None = None
    token: Literal["required", "none"] = "required"
    tls_cert: Path | None = None
    tls_key: Path | None = None
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    limits: HttpLimits = HttpLimits()

    @property
    def loopback(self) -> bool:
        """Whether only this machine can connect."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @model_validator(mode="after")
    def _is_safe(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key go together: name both files")
        if self.loopback:
            return self
        if self.token == "none":
            raise ValueError(f"token: none is for loopback alone, and {self.host} is not: leave it out")
        if self.tls_cert is None and not self.trusted_proxies:
            raise ValueError(
                f"tokens would cross the network to {self.host} in the clear: name a certificate (tls_cert, "
                "tls_key), or the network of the proxy that speaks TLS before it (trusted_proxies)"
            )
        return self


class WebhookSettings(BaseModel):
    """Where webhooks may go, and how long one may take; immutable.

    Receivers are on the internet. `allow` are networks beside it that may have receivers, such as
    `10.1.0.0/16` or `127.0.0.1/32`. A receiver has `timeout` seconds to answer, and `concurrent` are
    asked at once.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    allow: tuple[IPv4Network | IPv6Network, ...] = ()
    timeout: float = Field(default=20.0, gt=0, le=60)
    concurrent: int = Field(default=20, ge=1, le=1000)
