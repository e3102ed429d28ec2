"""What the adapter does where the app refuses, is busy, or is left."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import web
from tests.unit.openapi_app import App, connected, failure

from spacedock.result import ErrorKind
from spacedock_worker.adapters.base import AppCall
from spacedock_worker.adapters.openapi import adapter


def detail(told: Any, status: int) -> web.Response:
    return web.json_response(told, status=status)


MISSING = {"type": "missing", "loc": ["body", "text"], "msg": "Field required", "input": {"secret": "words"}}
NESTED = {"type": "x", "loc": ["body", "items", 0, "n"], "msg": 'Say "a"', "input": "y" * 9}


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (
            detail({"detail": [MISSING, NESTED]}, 422),
            ErrorKind.BAD_INPUT,
            'text: field required; items.0.n: say "a"',
        ),
        (
            detail({"detail": [MISSING | {"input": "z" * 2000}]}, 422),
            ErrorKind.BAD_INPUT,
            "text: field required",
        ),
        (detail({"detail": "text is empty"}, 400), ErrorKind.BAD_INPUT, "text is empty"),
        (detail({"detail": "not today"}, 400), ErrorKind.APP_ERROR, "not today"),
        (
            detail({"error": {"message": "no such model", "type": "x"}}, 404),
            ErrorKind.APP_ERROR,
            "no such model (HTTP 404)",
        ),
        (detail({"error": "out of luck"}, 500), ErrorKind.APP_ERROR, "out of luck (HTTP 500)"),
        (
            web.Response(status=500, text="<html>", content_type="text/html"),
            ErrorKind.APP_ERROR,
            "without saying why (HTTP 500)",
        ),
        (
            web.Response(status=307, headers={"Location": "http://elsewhere"}),
            ErrorKind.APP_ERROR,
            "not followed",
        ),
    ],
)
async def test_the_apps_own_words_are_the_error(answer: web.Response, kind: ErrorKind, words: str) -> None:
    error = await failure(answer)
    assert error.kind is kind
    assert words in str(error)
    assert "secret" not in str(error)


async def test_a_busy_app_is_asked_again_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter, "PAUSES", (0, 0))
    busy, heard = web.Response(status=503, headers={"Retry-After": "1"}), list[str]()
    app = App([busy, web.Response(status=429), web.json_response("at last")])
    async with connected(app) as running:
        answer = await running.call(AppCall("hi"), lambda message, partial=None: heard.append(message))
    assert (answer.text, heard) == ("at last", ["running", "the app is busy", "the app is busy"])
    assert [body for _, _, body, _ in app.asked] == [b'{"text": "hi"}'] * 3


async def test_an_app_that_stays_busy_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter, "PAUSES", (0,))
    error = await failure(web.Response(status=503))
    assert (error.kind, "busy" in str(error)) == (ErrorKind.APP_ERROR, True)


async def test_a_cancelled_call_closes_its_connection_and_is_not_known_to_have_stopped() -> None:
    asked, left = asyncio.Event(), asyncio.Event()

    async def hang(_: web.Request) -> web.StreamResponse:
        asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            left.set()
        return web.Response()

    app = App([])
    app.handle = hang  # type: ignore[method-assign]
    async with connected(app) as running:
        calling = asyncio.create_task(running.call(AppCall("hi"), lambda message, partial=None: None))
        await asyncio.wait_for(asked.wait(), 60)
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        await asyncio.wait_for(left.wait(), 60)
        assert running.abandoned
