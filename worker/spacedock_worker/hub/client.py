"""Asking the Hub, by huggingface_hub in threads of its own: within a deadline, and within its limits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from itertools import islice
from time import monotonic
from typing import TypeVar

import httpx2
import structlog
from huggingface_hub import HfApi, SpaceInfo, SpaceSearchResult, get_session, hf_hub_url
from huggingface_hub.errors import (
    DisabledRepoError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)
from huggingface_hub.utils import (  # type: ignore[attr-defined]  # they are loaded lazily
    build_hf_headers,
    hf_raise_for_status,
)

from spacedock_worker.hub.queries import ASK_SECONDS
from spacedock_worker.images.hub import is_offline
from spacedock_worker.images.hub_errors import (
    HubBrokenError,
    HubError,
    HubLimitedError,
    HubOddError,
    HubOfflineError,
    HubRefusedError,
    HubSilentError,
    bad_token,
    disabled_space,
    gated_space,
    no_such_space,
)
from spacedock_worker.images.hub_http import bounded, install
from spacedock_worker.images.settings import ImageSettings
from spacedock_worker.images.space_card import RUNNABLE

log = structlog.get_logger()

_THREADS = 4
_SILENT_SECONDS = 30.0
"""For how long a Hub that did not answer is left alone: each job would wait for it otherwise."""

_SHAPE_ERRORS = (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError)

_T = TypeVar("_T")


class HubClient:
    """The Hub at `hub_endpoint`, with the login of the settings and no other. Close it at the end.

    `pause` are the seconds before a Hub that is out of order is asked a second time. Every method raises
    HubError and its kinds.
    """

    def __init__(self, settings: ImageSettings, pause: float = 1.0) -> None:
        install()
        self._token = settings.hub_token or False
        self._api = HfApi(endpoint=settings.hub_endpoint, token=self._token)
        self._settings, self._pause = settings, pause
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="hub")
        self._quiet: tuple[float, HubSilentError] | None = None

    def close(self) -> None:
        """Begin no more calls; those that run end by their deadlines."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def search(self, query: str, seconds: float = ASK_SECONDS) -> list[SpaceSearchResult]:
        """The Spaces that the Hub's semantic search finds, the best first; those that sleep there as well."""

        def work() -> list[SpaceSearchResult]:
            found = self._api.search_spaces(query, sdk=list(RUNNABLE), include_non_running=True)
            return list(islice(found, 100))

        return await self._ask("search", work, seconds)

    async def tagged(self, tag: str, limit: int, seconds: float = ASK_SECONDS) -> list[SpaceInfo]:
        """The Spaces with a tag, those that are liked most first."""

        def work() -> list[SpaceInfo]:
            found = self._api.list_spaces(
                filter=tag,
                sort="likes",
                limit=limit,
                expand=["cardData", "lastModified", "likes", "models", "private", "runtime", "sdk", "sha",
                        "subdomain", "tags"],
            )  # fmt: skip
            return list(found)

        return await self._ask("list", work, seconds)

    async def account(self, seconds: float = ASK_SECONDS) -> str | None:
        """Whose token this host has; None without one. Raises HubRefusedError where it is not taken."""

        def work() -> str | None:
            if self._token:
                return str(self._api.whoami().get("name"))
            headers = build_hf_headers(token=False)
            # Not by list_spaces, which would try again and again.
            asked = get_session().get(f"{self._api.endpoint}/api/spaces?limit=1", headers=headers)
            hf_raise_for_status(asked)
            return None

        return await self._ask("account", work, seconds)

    async def about(self, hub_id: str, seconds: float = ASK_SECONDS) -> SpaceInfo:
        """What the Hub says of a Space. Raises HubRefusedError where it has none, or not for this host."""
        work = partial(self._api.space_info, hub_id, timeout=seconds)
        return await self._ask("about", work, seconds, hub_id)

    async def text(self, space: SpaceInfo, path: str, most: int, seconds: float = ASK_SECONDS) -> str:
        """The first `most` bytes of a file of the Space's repository; empty where there is no such file."""
        url = hf_hub_url(
            space.id, path, repo_type="space", revision=space.sha or "main", endpoint=self._api.endpoint
        )

        def work() -> str:
            headers = build_hf_headers(token=self._token) | {"Range": f"bytes=0-{most - 1}"}
            with get_session().stream("GET", url, headers=headers) as response:
                if response.status_code == 404:
                    return ""
                hf_raise_for_status(response)
                return _first(response, most)

        return await self._ask("text", work, seconds, space.id)

    async def task_of(self, model: str, seconds: float = ASK_SECONDS) -> str | None:
        """A model's pipeline tag; None where it has none, or is none that this host may see."""
        work = partial(self._api.model_info, model, timeout=seconds, expand=["pipeline_tag"])
        try:
            task = (await self._ask("model", work, seconds, model)).pipeline_tag
        except HubRefusedError:
            return None
        return task if isinstance(task, str) else None

    async def _ask(self, what: str, work: Callable[[], _T], seconds: float, about: str | None = None) -> _T:
        end = monotonic() + seconds
        self._check()
        try:
            try:
                return await self._once(work, seconds, about)
            except HubBrokenError:
                if end - monotonic() <= self._pause:
                    raise
                await asyncio.sleep(self._pause)
                return await self._once(work, end - monotonic(), about)
        except HubSilentError as error:
            log.info("hub.silent", asked=what, reason=error.why)
            rest = error.seconds if isinstance(error, HubLimitedError) else _SILENT_SECONDS
            if not isinstance(error, HubOddError):
                self._quiet = (monotonic() + rest, error)
            raise

    def _check(self) -> None:
        """Raise what is known already: the Hub is not to be asked now."""
        if is_offline(self._settings):
            raise HubOfflineError
        if self._quiet is None:
            return
        left, error = self._quiet[0] - monotonic(), self._quiet[1]
        if left > 0:
            raise HubLimitedError(left) if isinstance(error, HubLimitedError) else error.with_traceback(None)

    async def _once(self, work: Callable[[], _T], seconds: float, about: str | None) -> _T:
        loop = asyncio.get_running_loop()
        calling = partial(copy_context().run, self._bounded, work, seconds, about)
        try:
            async with asyncio.timeout(seconds + 1):
                return await loop.run_in_executor(self._threads, calling)
        except TimeoutError as error:
            # Looking up its address has no deadline of its own.
            raise HubSilentError(f"the Hub does not answer within {seconds:.0f} s") from error

    def _bounded(self, work: Callable[[], _T], seconds: float, about: str | None) -> _T:
        """Do the work in this thread; what goes wrong is told in our own words."""
        try:
            with bounded(seconds, self._api.endpoint) as bounds:
                found = work()
        except HubError:
            raise
        except (httpx2.HTTPError, OSError, HFValidationError) as error:
            raise _translated(error, about, seconds) from error
        except _SHAPE_ERRORS as error:
            raise HubOddError(type(error).__name__) from error
        if bounds.rest:
            self._quiet = (monotonic() + bounds.rest, HubLimitedError(bounds.rest))
        return found


def _translated(error: Exception, about: str | None, seconds: float) -> HubError:
    name = about or "that was asked for"
    if isinstance(error, OfflineModeIsEnabled):
        return HubOfflineError()
    if isinstance(error, DisabledRepoError):
        return disabled_space(name)
    if isinstance(error, GatedRepoError):
        return gated_space(name)
    if isinstance(error, RepositoryNotFoundError | HFValidationError):
        return no_such_space(name)
    if isinstance(error, httpx2.TimeoutException):
        return HubSilentError(f"the Hub does not answer within {seconds:.0f} s")
    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code
        return bad_token() if status == 401 else HubOddError(f"HTTP {status}")
    return HubSilentError("the Hub cannot be reached")


def _first(response: httpx2.Response, most: int) -> str:
    """The first `most` bytes of an answer as text; the rest is not loaded."""
    parts: list[bytes] = []
    size = 0
    for part in response.iter_bytes():
        parts.append(part)
        size += len(part)
        if size >= most:
            break
    return b"".join(parts)[:most].decode("utf-8", errors="replace")
