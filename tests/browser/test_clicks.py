"""The page as a person uses it: try, watch, cancel, retry; and what hostile Spaces can do to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect
from tests.browser.conftest import faults, let_in
from tests.browser.scene import Scene, scene

from spacedock._wire.connection import connect
from spacedock.pipelines.model import Pipeline
from spacedock.request import JobRequest
from spacedock.states import JobState
from spacedock_worker.pipelines.advancer import Advancer

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def made(redis_url: str, tmp_path: Path) -> AsyncIterator[Scene]:
    async with scene(redis_url, tmp_path) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser, made: Scene) -> AsyncIterator[Page]:
    async with let_in(browser, made.door) as page:
        yield page


async def test_a_space_is_tried_and_its_answer_seen(made: Scene, page: Page) -> None:
    await page.get_by_role("link", name="picture").click()
    await page.get_by_label("What to paint").fill("a harbour")
    assert await faults(page) == []
    await page.get_by_label("style").select_option("ink")
    await page.locator("#files").set_input_files(
        [{"name": "like.png", "mimeType": "image/png", "buffer": b"\x89PNG"}]
    )
    command = page.locator("#command")
    await expect(command).to_contain_text("--space picture")
    await expect(command).to_contain_text("--input 'prompt=a harbour'")
    await expect(command).to_contain_text("--file like.png")
    await expect(page.locator("#python")).to_contain_text('"style": "ink"')
    await page.get_by_role("button", name="Run", exact=True).click()
    await expect(page.get_by_role("heading", name="Job", level=1)).to_be_visible()
    await expect(page.locator(".pictures img")).to_be_visible()
    await expect(page.get_by_text("answered", exact=True)).to_be_visible()
    assert await faults(page) == []
    await page.go_back()
    await expect(page.get_by_label("What to paint")).to_be_visible()
    (job,) = await made.client.jobs()
    assert (job.space, job.state) == ("picture", JobState.SUCCEEDED)


async def test_a_running_job_is_watched_and_cancelled(made: Scene, page: Page) -> None:
    job_id = await made.client.submit("hold it", space="picture")
    row = page.locator(f"[data-key='{job_id}']")
    await expect(row).to_contain_text("step 12 of 20")
    await row.get_by_role("button", name="Cancel").click()
    await page.get_by_role("button", name="No, leave it").click()
    assert (await made.client.status(job_id)).state is JobState.RUNNING
    await row.get_by_role("button", name="Cancel").click()
    await page.get_by_role("button", name="Yes").click()
    assert (await made.client.result(job_id, wait=60)).state is JobState.CANCELLED
    await expect(row.get_by_text("cancelled").first).to_be_visible()


async def test_a_pipelines_run_shows_its_steps(made: Scene, page: Page, redis_url: str) -> None:
    steps = {
        "paint": {"space": "picture", "for_each": ["a cat", "a dog"], "prompt": "hold ${{ item }}"},
        "tell": {"space": "picture", "files": "${{ steps.paint.files }}"},
    }
    pipeline = Pipeline.model_validate({"name": "album", "steps": steps})
    async with connect(redis_url) as redis:
        advancing = asyncio.create_task(Advancer(redis).run())
        run_id = await made.client.submit_pipeline(pipeline)
        await page.locator(f"[data-key='{run_id}']").get_by_role("link").click()
        await expect(page.get_by_role("heading", name="album", level=1)).to_be_visible()
        await expect(page.locator("[data-key=paint]")).to_contain_text("running")
        await expect(page.locator("[data-key=paint]")).to_contain_text("0 of 2")
        await expect(page.locator("[data-key=tell]")).to_contain_text("waiting")
        made.go.set()
        await expect(page.locator("[data-key=tell]")).to_contain_text("succeeded", timeout=15_000)
        advancing.cancel()
    assert await faults(page) == []
    await page.locator("[data-key=paint]").get_by_role("link").click()
    await page.get_by_role("link", name="Its pipeline's run").click()
    await expect(page.get_by_role("heading", name="album", level=1)).to_be_visible()


async def test_failures_of_a_batch_are_grouped_and_retried(made: Scene, page: Page) -> None:
    requests = [JobRequest(prompt=f"page {n}", space="broken") for n in range(3)]
    ids = await made.client.submit_many(requests, label="pages.csv")
    async for _ in made.client.results(ids):
        pass
    await expect(page.locator("#verdict")).to_contain_text("3 jobs failed in broken: out of memory")
    told = (await page.locator("#verdict code").text_content() or "").removeprefix("spacedock logs ")
    assert (await made.client.story(told)).job.state is JobState.FAILED
    made.mended = True
    await page.get_by_role("button", name="Retry these 3").click()
    await expect(page.get_by_text("3 jobs submitted again")).to_be_visible()
    await expect(page.locator("#verdict")).to_contain_text("All well")
    await expect(page.get_by_text("3 succeeded, 3 failed")).to_be_visible()


async def test_a_host_is_paused_and_a_space_checked(made: Scene, page: Page) -> None:
    await page.get_by_role("button", name="Pause harbour").click()
    await expect(page.locator("#verdict")).to_contain_text("every host is paused")
    await page.get_by_role("button", name="Resume harbour").click()
    await expect(page.locator("#verdict")).to_contain_text("All well")
    await page.get_by_role("link", name="speech").click()
    await page.get_by_role("button", name="Get its image").click()
    await expect(page.locator("#said")).to_have_text("hf/speech is here, after 4.0 s")
    await page.get_by_role("button", name="Check whether it works").click()
    await expect(page.get_by_text("it is here")).to_be_visible()


async def test_what_hostile_spaces_send_is_text_and_runs_nothing(made: Scene, page: Page) -> None:
    hostile = await made.client.submit("x", space="hostile")
    huge = await made.client.submit("x", space="huge")
    async for _ in made.client.results([hostile, huge]):
        pass
    await page.goto(f"{made.door.url}/#/jobs/{hostile}")
    await expect(page.locator("pre")).to_contain_text("<script>document.title='taken'</script>")
    await expect(page.locator("pre")).to_contain_text("\u27e8202e\u27e9")
    assert "\u202e" not in await page.locator("main").inner_text()
    await expect(page.get_by_role("link", name="drawing.svg")).to_be_visible()
    await expect(page.get_by_text("(cannot be shown)")).to_be_visible()
    assert await page.locator("main script, main iframe, main img[onerror]").count() == 0
    await page.goto(f"{made.door.url}/#/jobs/{huge}")
    await expect(page.get_by_text("100,000 more characters")).to_be_visible()
    assert "taken" not in await page.title()


async def test_the_keys_move_find_and_cancel(made: Scene, page: Page) -> None:
    job_id = await made.client.submit("hold it", space="picture")
    await expect(page.locator(f"[data-key='{job_id}']")).to_be_visible()
    await page.keyboard.press("j")
    await page.keyboard.press("c")
    await expect(page.get_by_text("Cancel this job?")).to_be_visible()
    await page.keyboard.press("Escape")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Job", level=1)).to_be_visible()
    await page.keyboard.press("h")
    await page.keyboard.press("/")
    await page.keyboard.type("speech")
    await expect(page.get_by_role("link", name="sentiment")).to_have_count(0)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="speech", level=1)).to_be_visible()
    made.go.set()


async def test_a_browser_that_is_not_let_in_is_told_how_to_come(made: Scene, browser: Browser) -> None:
    page = await browser.new_page()
    await page.goto(made.door.url)
    await expect(page.get_by_text("spacedock page")).to_be_visible()
    await page.close()


async def test_the_page_goes_on_when_the_daemon_was_restarted(made: Scene, browser: Browser) -> None:
    async with let_in(browser, made.door, complains=True) as page:
        await made.door.server.stop()
        await expect(page.get_by_text("the daemon does not answer")).to_be_visible(timeout=15_000)
        job_id = await made.client.submit("x", space="sentiment")
        await made.client.result(job_id)
        await made.door.server.start()
        await expect(page.locator(f"[data-key='{job_id}']")).to_be_visible(timeout=15_000)
        await expect(page.locator("#verdict")).to_contain_text("All well")
        await expect(page.get_by_text("live", exact=True)).to_be_visible(timeout=15_000)
