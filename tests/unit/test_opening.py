"""What the worker makes of servers that are no Gradio, and of those that are not there yet."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from spacedock.result import ErrorKind, Stage
from spacedock_worker.adapters.detect import Access, Opener
from spacedock_worker.adapters.gradio.adapter import GradioAdapter
from spacedock_worker.adapters.openapi.adapter import OpenApiAdapter
from spacedock_worker.adapters.openapi.template import Template
from spacedock_worker.errors import StepError

PAGE = {"/": web.Response}
CONFIG = {"version": "6.31.0", "protocol": "sse_v3", "components": [], "dependencies": []}
DOCUMENT = {"openapi": "3.1.0", "paths": {"/ask": {"post": {"parameters": []}}}}

Routes = Mapping[str, Callable[[], web.Response]]


@asynccontextmanager
async def serving(routes: Routes) -> AsyncIterator[str]:
    """A server that answers these paths, and 404 elsewhere."""

    async def answer(request: web.Request) -> web.Response:
        made = routes.get(request.path)
        return made() if made else web.Response(status=404)

    runner = web.AppRunner(app := web.Application())
    app.router.add_route("*", "/{path:.*}", answer)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def opened(routes: Routes, access: Access | None = None, page_seconds: float = 60.0) -> type | None:
    """The kind of adapter that comes of it."""
    async with serving(routes) as url:
        adapter = await Opener(page_seconds=page_seconds).connect_to("sha256:x", access or Access())(url)
        if adapter is None:
            return None
        await adapter.aclose()
        return type(adapter)


async def test_a_config_with_functions_is_gradio() -> None:
    assert await opened(PAGE | {"/config": lambda: web.json_response(CONFIG)}) is GradioAdapter


async def test_a_config_without_functions_is_not_gradio() -> None:
    routes = PAGE | {"/config": lambda: web.json_response({"theme": "dark"})}
    assert await opened(routes, Access(kind="gradio")) is None


async def test_a_document_with_paths_is_an_api() -> None:
    routes = PAGE | {"/openapi.json": lambda: web.json_response(DOCUMENT)}
    assert await opened(routes) is OpenApiAdapter
    assert await opened(routes, Access(kind="openapi")) is OpenApiAdapter


async def test_gradio_that_is_not_all_there_is_no_api() -> None:
    """Under load its document may answer before `/config` and its page do."""
    asked = 0

    def late() -> web.Response:
        nonlocal asked
        asked += 1
        return web.json_response(CONFIG) if asked > 1 else web.Response(status=502)

    document = {"/openapi.json": lambda: web.json_response(DOCUMENT)}
    assert await opened(PAGE | document | {"/config": late}) is None
    assert await opened(PAGE | document | {"/config": late}) is GradioAdapter


async def test_an_api_whose_config_is_something_else_stays_an_api() -> None:
    routes = PAGE | {
        "/openapi.json": lambda: web.json_response(DOCUMENT),
        "/config": lambda: web.Response(text="<html>", content_type="text/html"),
    }
    assert await opened(routes) is OpenApiAdapter


async def test_a_template_needs_a_server_and_no_document() -> None:
    access = Access(template=Template("/ask", body={"text": "{prompt}"}))
    assert await opened({}, access) is OpenApiAdapter
    assert await Opener().connect_to("sha256:x", access)("http://127.0.0.1:9") is None


async def test_nothing_there_is_not_ready_yet() -> None:
    assert await Opener().connect_to("sha256:x", Access())("http://127.0.0.1:9") is None


async def test_streamlit_is_refused_at_once() -> None:
    health = PAGE | {"/_stcore/health": lambda: web.Response(text="ok")}
    with pytest.raises(StepError, match="Streamlit") as caught:
        await opened(health)
    assert (caught.value.stage, caught.value.kind) == (Stage.READY, ErrorKind.UNSUPPORTED)


async def test_a_page_without_an_api_is_given_time_and_then_refused() -> None:
    assert await opened(PAGE) is None
    with pytest.raises(StepError, match="shows a page") as caught:
        await opened(PAGE, page_seconds=0.0)
    assert caught.value.kind is ErrorKind.UNSUPPORTED


async def test_gradio_whose_own_config_fails_is_no_api() -> None:
    document = {"openapi": "3.1.0", "paths": {"/config": {"get": {}}, "/queue/join": {"post": {}}}}
    routes = PAGE | {
        "/openapi.json": lambda: web.json_response(document),
        "/config": lambda: web.Response(status=500),
    }
    with pytest.raises(StepError, match="the app's own /config fails") as caught:
        await opened(routes)
    assert caught.value.kind is ErrorKind.UNSUPPORTED


async def test_a_page_without_a_description_is_told_of_operation() -> None:
    with pytest.raises(StepError, match=r"--operation '\{\"path\": \"/predict\""):
        await opened(PAGE, page_seconds=0.0)


@pytest.mark.parametrize("location", ["/ui", "/ui/", "ui/", "http://example.org/ui"])
async def test_gradio_below_the_path_that_the_first_page_leads_to_is_found(location: str) -> None:
    routes = {
        "/": lambda: web.Response(status=307, headers={"Location": location}),
        "/openapi.json": lambda: web.json_response(DOCUMENT),
        "/ui/": web.Response,
        "/ui/config": lambda: web.json_response(CONFIG),
    }
    assert await opened(routes) is GradioAdapter


@pytest.mark.parametrize("location", ["/docs", "/../ui", "//", "/a?b", "http://[", ""])
async def test_a_first_page_that_leads_elsewhere_leaves_an_api_an_api(location: str) -> None:
    routes = {
        "/": lambda: web.Response(status=302, headers={"Location": location}),
        "/openapi.json": lambda: web.json_response(DOCUMENT),
    }
    assert await opened(routes) is OpenApiAdapter
