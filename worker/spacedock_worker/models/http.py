"""The HTTP connection to one endpoint: nothing of the environment's credentials or proxies leaks into it."""

from __future__ import annotations

import httpx2

from spacedock_worker.models.endpoint import ModelEndpoint

# The openai package adds an organisation, a project, any headers of OPENAI_CUSTOM_HEADERS and a description
# of this machine; a local server has no need of them, so only what HTTP itself needs goes out.
_SENT = frozenset(
    {"host", "accept", "accept-encoding", "connection", "content-type", "content-length", "transfer-encoding"}
)


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
        verify=tls,
        timeout=httpx2.Timeout(None, connect=endpoint.connect_timeout),
        event_hooks={"request": [_sender(endpoint)]},
    )


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
