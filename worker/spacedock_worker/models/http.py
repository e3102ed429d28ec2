"""The HTTP connection to one endpoint: nothing of the environment's credentials or proxies leaks into it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx2

from spacedock_worker.models.endpoint import ModelEndpoint

# A local server has no need of a description of this machine: only what HTTP itself needs goes out.
_SENT = frozenset(
    {"host", "accept", "accept-encoding", "connection", "content-type", "content-length", "transfer-encoding"}
)


class TooLongError(httpx2.HTTPError):
    """A server's answer is longer than it may be."""


@dataclass(frozen=True, slots=True)
class ModelReply:
    """A server's whole answer."""

    status: int
    headers: httpx2.Headers
    body: bytes


def connection(endpoint: ModelEndpoint) -> httpx2.AsyncClient:
    """An HTTP client for this endpoint alone; the caller closes it and bounds each call.

    Redirects are not followed: a prompt goes to the configured address or nowhere. Proxies and
    certificates of the environment count only for endpoints beyond the private network.
    """
    # Reading all certificates holds the event loop for 50 ms: not where there is no TLS to check.
    tls = not endpoint.base_url.lower().startswith("http:")
    socket = str(endpoint.socket) if endpoint.socket else None
    transport = httpx2.AsyncHTTPTransport(uds=socket, verify=tls) if socket else None
    return httpx2.AsyncClient(
        base_url=endpoint.base_url,
        transport=transport,
        trust_env=not endpoint.local,
        follow_redirects=False,
        verify=tls,
        timeout=httpx2.Timeout(None, connect=endpoint.connect_timeout),
        event_hooks={"request": [_sender(endpoint)]},
    )


async def exchange(
    http: httpx2.AsyncClient, method: str, path: str, json: Any = None, most: int = 2**20
) -> ModelReply:
    """One request and its answer, of at most `most` bytes. Raises httpx2.HTTPError."""
    body = bytearray()
    async with http.stream(method, path, json=json) as response:
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > most:
                raise TooLongError(f"the answer is longer than {most} bytes")
    return ModelReply(response.status_code, response.headers, bytes(body))


class _Sender:
    """Strips a request to what HTTP needs, and adds the endpoint's own key."""

    def __init__(self, api_key: str | None) -> None:
        self._api_key = api_key

    async def __call__(self, request: httpx2.Request) -> None:
        for name in [name for name in request.headers if name.lower() not in _SENT]:
            del request.headers[name]
        if self._api_key:
            request.headers["Authorization"] = f"Bearer {self._api_key}"


def _sender(endpoint: ModelEndpoint) -> _Sender:
    return _Sender(endpoint.api_key.get_secret_value() if endpoint.api_key else None)
