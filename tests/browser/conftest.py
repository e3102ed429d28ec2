"""The Chromium of the system, driven by playwright; without one these tests are skipped, and say so."""

from __future__ import annotations

import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, async_playwright, expect
from tests.door import Door

from spacedock._wire.view.tokens import CODE, signed

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

GRAVE = ("serious", "critical")

# What a busy machine takes says nothing of the page.
expect.set_options(timeout=20_000)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed: `deploy/test-tools.sh` installs Debian's")
    async with async_playwright() as playwright:
        # Chromium's own sandbox does not start as root, as which CI runs.
        started = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            yield started
        finally:
            await started.close()


@asynccontextmanager
async def let_in(
    browser: Browser,
    door: Door,
    width: int = 1280,
    height: int = 900,
    scheme: str = "light",
    *,
    complains: bool = False,
) -> AsyncIterator[Page]:
    """The page in a browser that came by a code, at that size; what it complains of is a failure, unless it
    has reason to."""
    context = await browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if scheme == "dark" else "light",
        reduced_motion="reduce",
    )
    page = await context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    await page.goto(f"{door.url}/login?code={signed(door.token, CODE, time.time() + 60)}")
    await page.get_by_text("live", exact=True).wait_for()
    yield page
    await context.close()
    assert complaints == [] or complains


async def faults(page: Page) -> list[str]:
    """What axe-core finds that keeps somebody from using the page."""
    found = await Axe().run(page)
    return [
        f"{one['id']}: {one['nodes'][0]['html'][:200]}"
        for one in found.response["violations"]
        if one["impact"] in GRAVE
    ]
