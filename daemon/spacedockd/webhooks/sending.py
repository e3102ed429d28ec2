"""Sending one webhook: signed by Standard Webhooks 1.0, to no address that is not allowed."""

from __future__ import annotations

import asyncio
import base64
import errno
import hashlib
import hmac
import os
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from time import time
from typing import Any

import aiohttp

from spacedock._wire.view.webhooks import SECRET_PREFIX, WebhookDelivery
from spacedockd.http.settings import WebhookSettings

_NAT64 = IPv6Network("64:ff9b::/96")
_INNER = (IPv4Network("192.0.0.0/24"), IPv6Network("64:ff9b:1::/48"), IPv6Network("::/96"))
"""Networks that Python takes for the internet's: clouds' own services, local NAT64, IPv4 in IPv6."""

_WAITS = (5, 5 * 60, 30 * 60, *(hours * 3600 for hours in (2, 5, 10, 14, 20, 24)))
"""Seconds after each try, as the specification proposes them."""

Networks = Sequence[IPv4Network | IPv6Network]


@dataclass(frozen=True, slots=True)
class TryOutcome:
    """What came of a try: `again` after so many seconds, None where it is over."""

    delivered: bool
    said: str
    again: int | None = None


def headers_of(webhook_id: str, body: str, secret: str, now: int) -> dict[str, str]:
    """The headers of a webhook; receivers verify them by the secret."""
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    mac = hmac.new(key, f"{webhook_id}.{now}.{body}".encode(), hashlib.sha256).digest()
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(now),
        "webhook-signature": f"v1,{base64.b64encode(mac).decode()}",
        "Content-Type": "application/json",
        "User-Agent": "spacedock",
    }


def may_go_to(address: str, allow: Networks) -> bool:
    """Whether a webhook may go to that IP address: one of the internet, or of a network that is allowed."""
    found = ip_address(address.partition("%")[0])
    if any(found in network for network in allow):
        return True
    if isinstance(found, IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour
        if found in _NAT64:
            inner = IPv4Address(int(found) & 0xFFFFFFFF)
        if inner is not None:
            return may_go_to(str(inner), allow)
    if any(found in network for network in _INNER):
        return False
    return found.is_global and not found.is_multicast


@asynccontextmanager
async def sender(settings: WebhookSettings) -> AsyncIterator[aiohttp.ClientSession]:
    """Connections to receivers. The address is looked at when it is connected to, however it was named."""

    def checked(info: Any) -> socket.socket:
        family, kind, protocol, _, address = info
        if not may_go_to(address[0], settings.allow):
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        return socket.socket(family, kind, protocol)

    connector = aiohttp.TCPConnector(socket_factory=checked, force_close=True)
    limit = aiohttp.ClientTimeout(total=settings.timeout)
    async with aiohttp.ClientSession(connector=connector, timeout=limit) as session:
        yield session


async def tried(session: aiohttp.ClientSession, webhook: WebhookDelivery, secret: str) -> TryOutcome:
    """Send it once more, and say what came of it."""
    tries, body = webhook.tries + 1, webhook.body
    headers = headers_of(webhook.id, body, secret, int(time()))
    try:
        async with session.post(webhook.url, data=body, headers=headers, allow_redirects=False) as answer:
            status = answer.status
    except aiohttp.ClientConnectorError as error:
        if error.os_error.errno == errno.EPERM:
            return TryOutcome(False, "its address is private: add its network to webhooks.allow")
        return _failed(f"no connection ({error.os_error.strerror or 'unknown host'})", tries)
    except (aiohttp.InvalidURL, ValueError):
        return TryOutcome(False, "the address is no URL")
    except (aiohttp.ClientError, OSError) as error:
        silent = isinstance(error, asyncio.TimeoutError)
        return _failed("no answer in time" if silent else type(error).__name__, tries)
    if 200 <= status < 300:
        return TryOutcome(True, f"HTTP {status}")
    if status == 410:
        return TryOutcome(False, "HTTP 410: the receiver wants no more")
    told = f"HTTP {status}: redirects are not followed" if 300 <= status < 400 else f"HTTP {status}"
    return _failed(told, tries)


def _failed(said: str, tries: int) -> TryOutcome:
    return TryOutcome(False, said, _WAITS[tries - 1] if tries <= len(_WAITS) else None)
