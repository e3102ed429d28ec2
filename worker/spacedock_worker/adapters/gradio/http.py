"""HTTP to one app and nowhere else: bounded bodies, no redirects, no cookies, no proxies, no credentials."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import aiohttp
from yarl import URL

from spacedock.files import Payload
from spacedock_worker.adapters.gradio.faults import bad_output, crashed, shortened

CONNECT_SECONDS = 5.0
# Gradio sends a heartbeat every 15 s; four missed ones mean that nobody is there.
SILENCE_SECONDS = 60.0
ERROR_BODY_BYTES = 8192


class RefusedError(Exception):
    """The app answered with an HTTP error: `status`, and `detail`, its own words (may be empty)."""

    def __init__(self, status: int, detail: str) -> None:
        self.status, self.detail = status, detail
        super().__init__(f"HTTP {status}{f': {detail}' if detail else ''}")


class AppHttp:
    """A session of its own for one app. Broken connections raise StepError of kind `crashed`.

    So does a connection that brings nothing for `silence_seconds`.
    """

    def __init__(self, base_url: str, silence_seconds: float = SILENCE_SECONDS) -> None:
        self._base = base_url.rstrip("/")
        self._session = aiohttp.ClientSession(
            trust_env=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=CONNECT_SECONDS, sock_read=silence_seconds
            ),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def get_json(self, path: str, max_bytes: int, seconds: float = SILENCE_SECONDS) -> Any:
        """The JSON at `path`. Raises RefusedError, or StepError (`crashed`, `bad_output`)."""
        async with asyncio.timeout(seconds), self.request("GET", path) as response:
            return parsed(await read_bounded(response, max_bytes, path))

    async def post_json(self, path: str, body: Mapping[str, Any], max_bytes: int) -> Any:
        """POST `body` as JSON. Raises RefusedError, or StepError (`crashed`, `bad_output`)."""
        async with self.request("POST", path, json=body) as response:
            return parsed(await read_bounded(response, max_bytes, path))

    async def upload(self, path: str, file: Payload, max_bytes: int) -> Any:
        """POST one file as the multipart field `files`; the app answers with a list of its paths."""
        form = aiohttp.FormData()
        form.add_field("files", file.data, filename=file.ref.name, content_type=file.ref.media_type)
        async with self.request("POST", path, data=form) as response:
            return parsed(await read_bounded(response, max_bytes, path))

    async def download(self, route: str, path: str, max_bytes: int) -> tuple[bytes, str]:
        """The bytes of the app's own file `path`, and the media type that the app gives for it."""
        async with self.request("GET", f"{route}{quote(path, safe='/')}") as response:
            return await read_bounded(response, max_bytes, "a file"), response.content_type

    @asynccontextmanager
    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        json: Any = None,
        data: Any = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """One request to the app. Redirects are refused: an app must not send the worker elsewhere."""
        url = URL(self._base + path, encoded=True)
        try:
            async with self._session.request(
                method, url, params=params, json=json, data=data, allow_redirects=False
            ) as response:
                if response.status != 200:
                    raise RefusedError(response.status, await _detail(response))
                yield response
        except TimeoutError as error:
            raise crashed("the app's connection went silent: see the container's log") from error
        except (aiohttp.ClientError, OSError) as error:
            why = shortened(str(error), 200) or type(error).__name__
            raise crashed(f"the connection to the app broke ({why}): see the container's log") from error


async def read_bounded(response: aiohttp.ClientResponse, max_bytes: int, what: str) -> bytes:
    """The whole body. Raises StepError of kind `bad_output` over `max_bytes` (after decompression)."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > max_bytes:
            raise bad_output(f"{what} of the app's answer is over the limit of {max_bytes / 2**20:.0f} MB")
    return bytes(body)


def parsed(body: bytes | bytearray) -> Any:
    """JSON from the app; NaN and its like become None. Raises StepError of kind `bad_output`."""
    try:
        return json.loads(body, parse_constant=lambda _: None)
    except (ValueError, RecursionError) as error:
        raise bad_output("the app's answer is not JSON that can be read") from error


async def _detail(response: aiohttp.ClientResponse) -> str:
    body = await response.content.read(ERROR_BODY_BYTES)
    try:
        detail = json.loads(body)["detail"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    return shortened(detail if isinstance(detail, str) else json.dumps(detail), 500)
