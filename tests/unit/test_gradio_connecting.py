"""From a base URL to an adapter: what is no Gradio, what is not well, what is endless, what wants a login."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any

import pytest
from tests.unit.gradio_calls import SAY, Heard, ask
from tests.unit.gradio_script import DONE, PROTOCOLS, Reply, Script, config, speaking
from tests.unit.gradio_server import serving

from spacedock.result import ErrorKind, Stage
from spacedock_worker.adapters.base import AnswerLimits
from spacedock_worker.adapters.gradio import connection as connecting
from spacedock_worker.adapters.gradio.adapter import GradioAdapter
from spacedock_worker.adapters.gradio.connection import Login, connect
from spacedock_worker.adapters.gradio.direct import LearnedEndpoints
from spacedock_worker.adapters.http import AppHttp
from spacedock_worker.errors import StepError

ADA = Login("ada", "lovelace")


async def found(script: Script, login: Login | None = None, **limits: int) -> GradioAdapter | None:
    async with serving(script) as url:
        http = AppHttp(url)
        try:
            return await connect(http, LearnedEndpoints(), AnswerLimits(**limits), login)
        finally:
            await http.aclose()


async def refused(script: Script, login: Login | None = None) -> StepError:
    with pytest.raises(StepError) as caught:
        await found(script, login)
    return caught.value


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_an_app_that_describes_itself_is_found(protocol: str) -> None:
    adapter = await found(speaking(protocol))
    assert adapter is not None
    assert (adapter.app.protocol, adapter.abandoned) == (protocol, False)
    assert [endpoint.name for endpoint in adapter.app.endpoints] == ["/say", "/see"]


@pytest.mark.parametrize("told", [None, [], {}, {"dependencies": None}, "<html>", 3])
async def test_something_that_is_not_gradio_is_not_found(told: object) -> None:
    assert await found(Script(config=told)) is None


@pytest.mark.parametrize(
    "reply",
    [
        Reply(b"<html>"),
        Reply(b""),
        Reply(b'{"dependencies": ['),
        Reply(b"[" * 200_000),
        Reply({"detail": "starting"}, 503),
        Reply(config(), 500),
        Reply(b"", 302, {"Location": "/login"}),
    ],
)
async def test_a_server_that_is_not_ready_is_not_found(reply: Reply) -> None:
    assert await found(Script(routes={"/config": reply})) is None


async def test_a_redirect_of_the_description_is_not_followed() -> None:
    elsewhere = Script()
    async with serving(elsewhere) as url:
        moved = Reply(b"", 307, {"Location": f"{url}/config"})
        assert await found(Script(routes={"/config": moved})) is None
    assert elsewhere.seen == []


async def test_a_server_that_is_not_there_is_not_found() -> None:
    async with serving(Script()) as url:
        http = AppHttp(url)
    assert await connect(http, LearnedEndpoints(), AnswerLimits()) is None
    await http.aclose()


async def test_a_description_that_comes_byte_by_byte_is_given_up_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connecting, "READY_SECONDS", 0.2)
    async with asyncio.timeout(60), trickling() as url:
        http = AppHttp(url)
        assert await connect(http, LearnedEndpoints(), AnswerLimits()) is None
        await http.aclose()


def trickling() -> Any:
    """A server that sends the beginning of a description, one byte at a time, for ever."""

    async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n"
            )
            while not writer.is_closing():
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.01)
        except ConnectionError:
            pass
        finally:
            writer.close()

    class Serving:
        async def __aenter__(self) -> str:
            self.server = await asyncio.start_server(trickle, "127.0.0.1", 0)
            return f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}"

        async def __aexit__(self, *error: object) -> None:
            self.server.close()
            await self.server.wait_closed()

    return Serving()


async def test_a_description_over_the_limit_is_not_read() -> None:
    assert await found(Script(), answer=50) is None


async def test_a_description_of_too_many_functions_is_refused() -> None:
    error = await refused(Script(config=config(dependencies=[{}] * 300_000)))
    assert error.kind is ErrorKind.BAD_OUTPUT


@pytest.mark.parametrize("depth", [500, 900, 990])
async def test_a_deep_description_is_read_or_not_but_breaks_nothing(depth: int) -> None:
    deep: Any = json.loads("[" * 500 + "]" * 500)
    for _ in range(depth - 500):
        deep = [deep]
    body = json.dumps(config()).replace('"textbox"', '"textbox", "props": {"choices": DEEP, "value": DEEP}')
    raw = body.replace("DEEP", "[" * depth + "]" * depth).encode()
    with suppress(StepError):
        await found(Script(routes={"/config": Reply(raw)}))


@pytest.mark.parametrize(
    "info",
    [
        Reply({"detail": "broken"}, 500),
        Reply(b"<html>"),
        Reply(b"[" * 200_000),
        Reply(b" " * 20_000_000 + b"{}"),
        Reply({"named_endpoints": {}}),
    ],
)
async def test_an_app_that_cannot_tell_its_api_is_found_all_the_same(info: Reply) -> None:
    assert await found(Script(info=info)) is not None


async def test_an_unknown_protocol_names_itself_and_the_version() -> None:
    error = await refused(
        Script(config=config(protocol="sse_v3") | {"protocol": "carrier", "version": "9.1"})
    )
    assert (error.stage, error.kind) == (Stage.READY, ErrorKind.UNSUPPORTED)
    assert "9.1" in str(error)
    assert "'carrier'" in str(error)


async def test_an_app_with_a_login_asks_for_the_credentials() -> None:
    error = await refused(Script(password="lovelace"))
    assert (error.stage, error.kind) == (Stage.READY, ErrorKind.UNSUPPORTED)
    assert "`auth`" in str(error)


async def test_wrong_credentials_are_refused_without_telling_them() -> None:
    error = await refused(Script(password="lovelace"), Login("ada", "s3cret"))
    assert (error.kind, "Incorrect credentials" in str(error)) == (ErrorKind.UNSUPPORTED, True)
    assert "s3cret" not in str(error) + repr(Login("ada", "s3cret"))


async def test_a_login_page_that_lets_nobody_in_is_unsupported() -> None:
    script = Script(password="lovelace", routes={"/login": Reply({"success": True})})
    assert (await refused(script, ADA)).kind is ErrorKind.UNSUPPORTED


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_the_cookies_of_a_login_are_sent_with_every_request_after_it(protocol: str) -> None:
    script = speaking(protocol, DONE, password="lovelace")
    assert (await ask(script, login=ADA)).text == "well"
    cookies = [headers.get("Cookie") for headers in script.headers]
    assert cookies[:2] == [None, None]
    assert set(cookies[2:]) == {"token=secret; unsecure-token=other"}


async def test_an_app_without_a_login_is_not_sent_the_credentials() -> None:
    script = Script().says(DONE)
    await ask(script, login=ADA)
    assert script.count("/login") == 0


async def test_the_prefix_of_the_routes_is_used_for_all_of_them() -> None:
    script = Script(config=config(api_prefix="/gradio_api")).says(DONE)
    await ask(script)
    assert {path for path in script.seen if not path.startswith("/gradio_api/")} == {"/config", "/"}


async def test_connecting_ends_at_once_when_it_is_cancelled() -> None:
    async with trickling() as url:
        http = AppHttp(url)
        task = asyncio.create_task(connect(http, LearnedEndpoints(), AnswerLimits()))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await http.aclose()


async def test_a_call_after_the_app_is_gone_is_a_crash() -> None:
    async with serving(Script()) as url:
        http = AppHttp(url)
        adapter = await connect(http, LearnedEndpoints(), AnswerLimits())
    assert adapter is not None
    with pytest.raises(StepError) as caught:
        await adapter.call(SAY, Heard())
    await http.aclose()
    await http.aclose()
    assert caught.value.kind is ErrorKind.CRASHED
