"""Bounds on what huggingface_hub does in a thread: a deadline, a size, and limits that are told at once.

The library has no deadline for a search, waits and asks again by itself where the Hub is busy, reads
answers of any length, and shows the login to whatever host a list says that it goes on at. Hooks of its
HTTP client, which it lets its users set, put that right for calls made inside of `bounded`; downloads of
repositories go on as before.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from threading import Lock
from time import monotonic

import httpx2
from huggingface_hub import get_session, set_client_factory
from huggingface_hub.utils import parse_ratelimit_headers  # type: ignore[attr-defined]  # loaded lazily

from spacedock_worker.images.hub_errors import HubBrokenError, HubLimitedError, HubOddError, HubSilentError

MOST_BYTES = 4 * 2**20
"""What one answer may have; a page of a hundred Spaces has some 200 kB."""

MOST_NESTS = 100_000
"""Lists and objects in it: to read many holds up the whole worker, whose lock Python keeps meanwhile."""

_UNTOLD_SECONDS = 60.0
_LONGEST_SECONDS = 3600.0

_Origin = tuple[str, str, int | None]
"""Scheme, host and port of a URL."""


@dataclass(slots=True)
class Bounds:
    """One call's bounds: it ends at `until` (monotonic), and only `home` hears the login.

    `rest` are the seconds for which to ask no more.
    """

    until: float
    home: _Origin
    rest: float = 0.0

    def left(self) -> float:
        """The seconds that are left. Raises HubSilentError where there are none."""
        left = self.until - monotonic()
        if left <= 0:
            raise HubSilentError("the Hub does not answer in time")
        return left


_BOUNDS: ContextVar[Bounds | None] = ContextVar("hub_bounds", default=None)


@contextmanager
def bounded(seconds: float, endpoint: str) -> Iterator[Bounds]:
    """Bounds for all requests to the Hub at `endpoint` that this thread makes in the block.

    They raise HubSilentError after `seconds`, HubBrokenError and HubLimitedError as soon as the Hub says so,
    and HubOddError for an answer that is too large.
    """
    install()
    bounds = Bounds(monotonic() + seconds, _origin(httpx2.URL(endpoint)))
    token = _BOUNDS.set(bounds)
    try:
        yield bounds
    finally:
        _BOUNDS.reset(token)


_INSTALLING = Lock()


def install() -> None:
    """Have the library make its clients with our hooks behind its own; once in a process, from any thread.

    Call it before anything is downloaded: it closes the client that the library has.
    """
    with _INSTALLING:
        _install()


@cache
def _install() -> None:
    own = get_session().event_hooks

    def client() -> httpx2.Client:
        return httpx2.Client(
            event_hooks={
                "request": [*own["request"], _on_request],
                "response": [*own["response"], _on_response],
            },
            follow_redirects=True,
            timeout=None,
        )

    set_client_factory(client)


def _on_request(request: httpx2.Request) -> None:
    bounds = _BOUNDS.get()
    if bounds is not None:
        left = bounds.left()
        timeouts = dict.fromkeys(("connect", "read", "write", "pool"), left)
        request.extensions = {**request.extensions, "timeout": timeouts}
        # Bytes are counted as they come, which says nothing of an answer that is packed.
        request.headers["Accept-Encoding"] = "identity"
        if _origin(request.url) != bounds.home:
            request.headers.pop("Authorization", None)


def _origin(url: httpx2.URL) -> _Origin:
    return (url.scheme, url.host, url.port)


def _on_response(response: httpx2.Response) -> None:
    bounds = _BOUNDS.get()
    if bounds is None:
        return
    told = parse_ratelimit_headers(response.headers)
    if response.status_code == 429:
        seconds = _retry_after(response) or (told.reset_in_seconds if told else None) or _UNTOLD_SECONDS
        raise HubLimitedError(min(seconds, _LONGEST_SECONDS))
    if response.status_code >= 500:
        raise HubBrokenError(response.status_code)
    if told is not None and told.remaining == 0:
        bounds.rest = min(float(told.reset_in_seconds), _LONGEST_SECONDS)
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise HubOddError("it is packed, which was not asked for")
    assert isinstance(response.stream, httpx2.SyncByteStream)
    response.stream = _Short(response.stream, bounds)


def _retry_after(response: httpx2.Response) -> float | None:
    said = response.headers.get("Retry-After", "").strip()
    return float(said[:9]) if said.isascii() and said.isdigit() else None


class _Short(httpx2.SyncByteStream):
    """An answer's bytes as long as there is time, and not too many of them."""

    def __init__(self, stream: httpx2.SyncByteStream, bounds: Bounds) -> None:
        self._stream, self._bounds = stream, bounds

    def __iter__(self) -> Iterator[bytes]:
        count = nests = 0
        for part in self._stream:
            self._bounds.left()
            count += len(part)
            if count > MOST_BYTES:
                raise HubOddError(f"it has more than {MOST_BYTES // 2**20} MB")
            nests += part.count(b"[") + part.count(b"{")
            if nests > MOST_NESTS:
                raise HubOddError("it holds too many lists and objects")
            yield part

    def close(self) -> None:
        """Close the answer."""
        self._stream.close()
