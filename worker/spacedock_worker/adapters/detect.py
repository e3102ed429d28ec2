"""Finding out what kind of app answers at a base URL, and connecting to it."""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

from spacedock.result import ErrorKind, Stage
from spacedock_worker.adapters.base import Adapter, AnswerLimits
from spacedock_worker.adapters.faults import TooComplexError
from spacedock_worker.adapters.gradio.connection import Login, check_config, is_gradio
from spacedock_worker.adapters.gradio.connection import connect as connect_gradio
from spacedock_worker.adapters.gradio.direct import LearnedEndpoints
from spacedock_worker.adapters.http import AppHttp, AppRefusedError, read_bounded
from spacedock_worker.adapters.openapi.adapter import OpenApiAdapter
from spacedock_worker.adapters.openapi.template import Template
from spacedock_worker.errors import StepError

AppKind = Literal["auto", "gradio", "openapi"]

PROBE_SECONDS = 2.0
# A server may show its page before the routes of its API are there.
PAGE_SECONDS = 20.0
_PAGE_BYTES = 2**20
_PATH = re.compile(r"[A-Za-z0-9_-]{1,40}(/[A-Za-z0-9_-]{1,40}){0,4}")
_REMEMBERED = 256
_GRADIO_ROUTES = frozenset(
    {"/queue/join", "/gradio_api/queue/join", "/run/{api_name}", "/gradio_api/run/{api_name}"}
)


@dataclass(frozen=True, slots=True)
class Access:
    """How to speak to one Space's app; what is not said is found out.

    `direct` says whether a function may be called twice, once, to find out about the way past the queue.
    """

    kind: AppKind = "auto"
    login: Login | None = None
    template: Template | None = None
    direct: bool = True


class Opener:
    """Connects to apps; what calls have taught about an image is kept for all its containers."""

    def __init__(self, limits: AnswerLimits | None = None, page_seconds: float = PAGE_SECONDS) -> None:
        self._limits, self._page_seconds = limits or AnswerLimits(), page_seconds
        self._memories: OrderedDict[str, LearnedEndpoints] = OrderedDict()

    def connect_to(self, digest: str, access: Access) -> Callable[[str], Awaitable[Adapter | None]]:
        """What connects to the app of the image `digest` at a base URL: None while it does not answer yet.

        It raises StepError where the app is of a kind that cannot be called.
        """
        memory = self._memory(digest)
        page_since: float | None = None

        async def connect(base_url: str) -> Adapter | None:
            nonlocal page_since
            http = AppHttp(base_url)
            adapter: Adapter | None = None
            try:
                adapter = await self._adapter(http, base_url, memory, access)
                if adapter is None and access.kind == "auto" and await _shows_page(http):
                    now = asyncio.get_running_loop().time()
                    page_since = now if page_since is None else page_since
                    if now - page_since >= self._page_seconds:
                        raise _no_api(
                            "it shows a page, but has neither Gradio's API nor an /openapi.json", _OPERATION
                        )
            finally:
                if adapter is None:
                    await http.aclose()
            return adapter

        return connect

    async def _adapter(
        self, http: AppHttp, base_url: str, memory: LearnedEndpoints, access: Access
    ) -> Adapter | None:
        if access.template is not None:
            alive = await _shows_page(http, any_status=True)
            return OpenApiAdapter(http, None, access.template, self._limits) if alive else None
        if access.kind in ("auto", "gradio"):
            found = await connect_gradio(http, memory, self._limits, access.login, direct=access.direct)
            if found is not None or access.kind == "gradio":
                return found
            if path := await _page_path(http, base_url, self._limits):
                return await self._below(http, f"{base_url.rstrip('/')}{path}", memory, access)
        if access.kind == "auto" and await _is_streamlit(http):
            raise _no_api("it is a Streamlit app, whose page talks to its own server only")
        document = await _document(http, self._limits)
        if document is None:
            return None
        if access.kind == "auto" and _GRADIO_ROUTES & set(document.get("paths", ())):
            await check_config(http, self._limits)
        if access.kind == "auto" and await is_gradio(http, self._limits) is not False:
            # Gradio's server has such a document as well, and may show it before its app is there.
            return None
        # A document may be large, and hostile: reading it must not hold up other calls.
        return await asyncio.to_thread(OpenApiAdapter, http, document, None, self._limits)

    async def _below(
        self, http: AppHttp, url: str, memory: LearnedEndpoints, access: Access
    ) -> Adapter | None:
        """The adapter for a Gradio app below a path; it takes the place of `http`, which is closed."""
        below = AppHttp(url)
        found: Adapter | None = None
        try:
            found = await connect_gradio(below, memory, self._limits, access.login, direct=access.direct)
        finally:
            await (http if found else below).aclose()
        return found

    def _memory(self, digest: str) -> LearnedEndpoints:
        memory = self._memories.setdefault(digest, LearnedEndpoints())
        self._memories.move_to_end(digest)
        while len(self._memories) > _REMEMBERED:
            self._memories.popitem(last=False)
        return memory


async def _page_path(http: AppHttp, base_url: str, limits: AnswerLimits) -> str:
    """The path that the first page sends visitors on to, where Gradio answers there; else empty.

    FastAPI with Gradio mounted at /ui does so. No other host is ever asked.
    """
    path = await _sent_to(http)
    if not path:
        return ""
    below = AppHttp(f"{base_url.rstrip('/')}{path}")
    try:
        return path if await is_gradio(below, limits) else ""
    finally:
        await below.aclose()


async def _sent_to(http: AppHttp) -> str:
    """The path that the first page redirects to; empty where it does not."""
    location = ""
    try:
        async with asyncio.timeout(PROBE_SECONDS), http.request("GET", "/"):
            return ""
    except AppRefusedError as error:
        location = error.location or "" if 300 <= error.status < 400 else ""
    except (StepError, TimeoutError):
        return ""
    with suppress(ValueError):
        path = urlsplit(location).path.strip("/")
        return f"/{path}" if _PATH.fullmatch(path) else ""
    return ""


async def _document(http: AppHttp, limits: AnswerLimits) -> Mapping[str, Any] | None:
    try:
        document = await http.get_json("/openapi.json", limits.answer, PROBE_SECONDS)
    except TooComplexError:
        raise
    except (StepError, AppRefusedError, TimeoutError):
        return None
    return document if isinstance(document, dict) and document.get("paths") else None


async def _is_streamlit(http: AppHttp) -> bool:
    try:
        async with asyncio.timeout(PROBE_SECONDS), http.request("GET", "/_stcore/health") as response:
            return (await read_bounded(response, _PAGE_BYTES, "its health")).strip() == b"ok"
    except (StepError, AppRefusedError, TimeoutError):
        return False


async def _shows_page(http: AppHttp, *, any_status: bool = False) -> bool:
    try:
        async with asyncio.timeout(PROBE_SECONDS), http.request("GET", "/"):
            return True
    except AppRefusedError:
        return any_status
    except (StepError, TimeoutError):
        return False


_OPERATION = (
    "If it has a JSON API, say how to call it, such as by `spacedock spaces add NAME --dir DIR --operation "
    '\'{"path": "/predict", "body": {"text": "{prompt}"}}\'` (docs/spaces.md, JSON APIs)'
)


def _no_api(why: str, remedy: str = "Use a Space with Gradio or a JSON API (FastAPI)") -> StepError:
    message = f"this Space cannot be called: {why}. {remedy}."
    return StepError(Stage.READY, ErrorKind.UNSUPPORTED, message)
