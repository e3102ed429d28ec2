"""The page as it looks on a phone and on a desk, light and dark: `make screenshots` keeps the pictures."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import Browser, Page
from tests.browser.conftest import faults, let_in
from tests.browser.scene import make_busy, scene

FOLDER = Path(__file__).parents[2] / "docs/screenshots"
SIZES = {390: 844, 1280: 900}


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize("state", ["empty", "busy"])
async def test_the_page_fits_and_everybody_can_use_it(
    browser: Browser, redis_url: str, tmp_path: Path, pytestconfig: pytest.Config, state: str
) -> None:
    async with scene(redis_url, tmp_path) as made:
        made.spaces = made.spaces if state == "busy" else ()
        if state == "busy":
            await make_busy(made)
        for width, height in SIZES.items():
            for scheme in ("light", "dark"):
                async with let_in(browser, made.door, width, height, scheme) as page:
                    await shown(page, state)
                    assert await sideways(page) <= 0
                    assert await faults(page) == []
                    if pytestconfig.getoption("--rewrite"):
                        FOLDER.mkdir(exist_ok=True)
                        await page.screenshot(path=FOLDER / f"{state}-{width}-{scheme}.png")
                    await page.set_viewport_size({"width": 2560, "height": height})
                    assert await sideways(page) <= 0


async def shown(page: Page, state: str) -> None:
    """Wait until all that the page shows is there."""
    await page.get_by_text("harbour").first.wait_for()
    if state == "busy":
        await page.locator(".pictures img").first.wait_for()
        await page.get_by_role("link", name="transcribe").first.wait_for()


async def sideways(page: Page) -> int:
    """By how many pixels the page is wider than the window."""
    wider: int = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
    return wider
