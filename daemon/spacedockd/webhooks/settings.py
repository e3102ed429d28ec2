"""What can be configured of webhooks."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network

from pydantic import BaseModel, ConfigDict, Field


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
