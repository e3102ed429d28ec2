"""HTTP to one app and nowhere else: bounded bodies, no redirects, no proxies, no cookies but a login's."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from io import BytesIO
from typing import Any
from urllib.parse import quote

import aiohttp
from yarl import URL

from spacedock.files import Payload
from spacedock.result import Stage
from spacedock_worker.adapters import offload
from spacedock_worker.adapters.app_json import parsed
from spacedock_worker.adapters.faults import bad_output, crashed, shortened
from spacedock_worker.errors import lacks_descriptors, no_descriptors

CONNECT_SECONDS = 5.0
SILENCE_SECONDS = 60.0
CLOSE_SECONDS = 2.0
WORDS_DEPTH = 8
CONNECTIONS = 64
# Uvicorn closes a connection that was idle for 5 s: one that is used just then breaks the call.
KEEP_SECONDS = 4.0
# A generator that streams its answer sends it again and again before it is whole.
STREAM_FACTOR = 16
ERROR_BODY_BYTES = 2**18
LOGIN_BYTES = 2**20


class AppRefusedError(Exception):
    """The app answered with an HTTP error.

    `told` is its body (JSON, or a text), None where that says nothing; `detail` its own words for people, may
    be empty; `retry_after` the seconds after which it wants to be asked again; `location` where it sends its
    callers.
    """

    def __init__(
        self, status: int, told: Any = None, retry_after: float | None = None, location: str | None = None
    ) -> None:
        self.status, self.told, self.retry_after, self.location = status, told, retry_after, location
        self.detail = shortened(_words(told), 500)
        super().__init__(f"HTTP {status}{f': {self.detail}' if self.detail else ''}")


class AppHttp:
    """A session of its own for one app. Broken connections raise StepError of kind `crashed`.

    So does a connection that brings nothing for `silence_seconds`, but for a `patient` request: an app may
    be silent while it computes, and only its caller knows for how long. Cookies come from `log_in` alone.
    """

    def __init__(self, base_url: str, silence_seconds: float = SILENCE_SECONDS) -> None:
        self._base = base_url.rstrip("/")
        self._waits = aiohttp.ClientTimeout(
            total=None, sock_connect=CONNECT_SECONDS, sock_read=silence_seconds
        )
        self._patience = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS)
        self._headers: dict[str, str] = {}
        self._session = aiohttp.ClientSession(
            trust_env=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            connector=aiohttp.TCPConnector(limit=CONNECTIONS, keepalive_timeout=KEEP_SECONDS),
            trace_configs=[_no_redirects()],
        )

    async def aclose(self) -> None:
        """Close the connections; safe to call twice."""
        await self._session.close()

    async def log_in(self, form: Mapping[str, str]) -> None:
        """POST a login form, and send the cookies that come back with every request from now on.

        Raises RefusedError where the app does not let us in.
        """
        async with self.request("POST", "/login", data=dict(form)) as response:
            await read_bounded(response, LOGIN_BYTES, "/login")
            cookies = "; ".join(f"{name}={morsel.value}" for name, morsel in response.cookies.items())
        self._headers = {"Cookie": cookies}

    async def get_json(self, path: str, max_bytes: int, seconds: float = SILENCE_SECONDS) -> Any:
        """The JSON at `path`. Raises RefusedError, or StepError (`crashed`, `bad_output`)."""
        async with asyncio.timeout(seconds), self.request("GET", path) as response:
            body = await read_bounded(response, max_bytes, path)
        return await offload.read(parsed, body)

    async def post_json(
        self, path: str, body: Mapping[str, Any], max_bytes: int, *, patient: bool = False
    ) -> Any:
        """POST `body` as JSON. Raises RefusedError, or StepError (`crashed`, `bad_output`)."""
        async with self.request("POST", path, json=body, patient=patient) as response:
            return await offload.read(parsed, await read_bounded(response, max_bytes, path))

    async def upload(self, path: str, file: Payload, max_bytes: int) -> Any:
        """POST one file as the multipart field `files`; the app answers with a list of its paths."""
        # Quoted, a name would come with percent signs in it; as bare bytes, a large file would be a warning.
        form = aiohttp.FormData(quote_fields=False)
        form.add_field("files", BytesIO(file.data), filename=file.ref.name, content_type=file.ref.media_type)
        async with self.request("POST", path, data=form) as response:
            return await offload.read(parsed, await read_bounded(response, max_bytes, path))

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
        patient: bool = False,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """One request to the app. Redirects are refused: an app must not send the worker elsewhere."""
        with _breaks_told():
            async with self._session.request(
                method,
                URL(self._base + path, encoded=True),
                params=params,
                json=json,
                data=data,
                headers=self._headers,
                allow_redirects=False,
                timeout=self._patience if patient else self._waits,
            ) as response:
                if not 200 <= response.status < 300:
                    raise await _refusal(response)
                yield response

    @asynccontextmanager
    async def websocket(self, path: str, max_bytes: int) -> AsyncIterator[AppSocket]:
        """A websocket to the app; one message may have `max_bytes`. Raises as `request` does."""
        with _breaks_told():
            try:
                socket = await self._session.ws_connect(
                    URL(self._base + path, encoded=True), headers=self._headers, max_msg_size=max_bytes
                )
            except aiohttp.WSServerHandshakeError as error:
                raise AppRefusedError(error.status) from error
            try:
                yield AppSocket(socket, STREAM_FACTOR * max_bytes)
            finally:
                # An app that goes on talking would hold the end up for ever.
                with suppress(TimeoutError):
                    async with asyncio.timeout(CLOSE_SECONDS):
                        await socket.close()


class AppSocket:
    """An open websocket: iterating gives the JSON of each message until the app closes it."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, max_bytes: int) -> None:
        self._socket, self._left = socket, max_bytes

    async def send(self, message: Mapping[str, Any]) -> None:
        """Send one message as JSON."""
        await self._socket.send_json(message)

    async def __aiter__(self) -> AsyncIterator[Any]:
        async for message in self._socket:
            if message.type is aiohttp.WSMsgType.ERROR:
                break
            if message.type is aiohttp.WSMsgType.TEXT:
                self._left -= len(message.data)
                if self._left < 0:
                    raise bad_output("the app streamed more than its answer may have")
                yield await offload.read(parsed, message.data.encode())
                # Messages that have come already are read without a pause of the loop's.
                await asyncio.sleep(0)
        if self._socket.close_code == aiohttp.WSCloseCode.MESSAGE_TOO_BIG:
            raise bad_output("the app's answer is over the limit")


def _no_redirects() -> aiohttp.TraceConfig:
    """Refuses what a request cannot: websockets follow redirects whatever they are told."""

    async def refuse(session: object, context: object, redirect: aiohttp.TraceRequestRedirectParams) -> None:
        raise AppRefusedError(redirect.response.status)

    tracing = aiohttp.TraceConfig()
    tracing.on_request_redirect.append(refuse)
    return tracing


@contextmanager
def _breaks_told() -> Iterator[None]:
    """Every way in which a connection breaks as one StepError; an app that talks nonsense is not dead."""
    try:
        yield
    except TimeoutError as error:
        raise crashed("the app's connection went silent") from error
    except aiohttp.ClientResponseError as error:
        raise bad_output(f"the app does not answer in HTTP ({shortened(str(error), 200)})") from error
    except (aiohttp.ClientError, OSError) as error:
        if lacks_descriptors(error):
            raise no_descriptors(Stage.CALL, "the app cannot be reached") from error
        why = shortened(str(error), 200) or type(error).__name__
        raise crashed(f"the connection to the app broke ({why})") from error


async def read_bounded(response: aiohttp.ClientResponse, max_bytes: int, what: str) -> bytes:
    """The whole body. Raises StepError of kind `bad_output` over `max_bytes` (after decompression)."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > max_bytes:
            raise bad_output(f"{what} of the app's answer is over the limit of {max_bytes / 2**20:.0f} MB")
    return bytes(body)


async def _refusal(response: aiohttp.ClientResponse) -> AppRefusedError:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > ERROR_BODY_BYTES:
            break
    wait = response.headers.get("Retry-After", "")
    told = _told(body, response.content_type)
    # The status in words, which some frameworks send for a body, says nothing.
    said = None if told == response.reason else told
    retry_after = float(wait) if wait.isdecimal() else None
    return AppRefusedError(response.status, said, retry_after, response.headers.get("Location"))


def _told(body: bytearray, content_type: str) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return body.decode(errors="replace") if content_type == "text/plain" else None


def _words(told: Any, depth: int = 0) -> str:
    """What a body says, by the names that frameworks give to it."""
    if isinstance(told, dict) and depth < WORDS_DEPTH:
        named = [told[name] for name in ("detail", "error", "message") if name in told]
        if named:
            return next((words for value in named if (words := _words(value, depth + 1))), "")
    if told is None or isinstance(told, str):
        return told or ""
    try:
        return json.dumps(told) if told else ""
    except RecursionError:
        return ""
