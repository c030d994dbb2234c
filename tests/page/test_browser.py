"""The page in a real Chromium, over hostile dead letters of a real worker."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright, expect

from tests.page.conftest import ACT_TOKEN, NAME, WorkerPage
from tests.page.hostile import RECORDS
from tests.page.test_dead_letter_pages import PAGES

pytestmark = pytest.mark.asyncio(loop_scope="module")

# The machine is shared and the sandbox of a browser is not ours to set up
ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
)
PHONE = {"width": 390, "height": 844}


class Seen:
    """What a page did that it must not do."""

    def __init__(self, page: Page, url: str) -> None:
        self.wrong: list[str] = []
        page.on("console", lambda said: self.wrong.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("dialog", lambda dialog: self.wrong.append(f"dialog {dialog.message}"))
        page.on("request", lambda asked: None if asked.url.startswith(url) else self.wrong.append(asked.url))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(chromium: str) -> AsyncIterator[Browser]:
    """One Chromium; playwright gives it a fresh folder for its profile, and each test a context of its own."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def a_page(browser: Browser, worker: WorkerPage, **options: Any) -> AsyncIterator[Page]:
    """A page of its own of somebody who logged in to act; in the end nothing may have gone wrong on it."""
    context = await browser.new_context(base_url=worker.url, **options)
    try:
        page = await context.new_page()
        seen = Seen(page, worker.url)
        await log_in(page)
        yield page
        assert seen.wrong == []
    finally:
        await context.close()


async def log_in(page: Page) -> None:
    await page.goto("/")
    await page.get_by_role("link", name="Log in").click()
    await page.get_by_label("Token").fill(ACT_TOKEN)
    await page.get_by_label("Your name").fill(NAME)
    await page.get_by_role("button", name="Log in").click()
    await expect(page.get_by_text("can act")).to_be_visible()


async def test_no_hostile_record_gets_to_do_anything(browser: Browser, worker_page: WorkerPage) -> None:
    async with a_page(browser, worker_page) as page:
        for path in PAGES:
            await page.goto(path)
            assert "owned" not in await page.title()
        for name in RECORDS:
            await page.goto(f"/dead-letters/{worker_page.places[name]}")
            await page.get_by_role("button", name="Reveal").click()
            await expect(page.get_by_role("button", name="Reveal")).to_have_count(0)
            assert "owned" not in await page.title()
            assert await page.locator("main img, main script, main svg[onload]").count() == 0


async def test_the_preview_follows_the_fix_while_it_is_made(browser: Browser, worker_page: WorkerPage) -> None:
    place = worker_page.places["second_mendable"]
    async with a_page(browser, worker_page) as page:
        await page.goto(f"/dead-letters/{place}")
        preview = page.locator("#preview")
        await page.get_by_label("Match case").check()
        await expect(preview).to_contain_text("Reveal the dead letter first")
        await page.get_by_role("button", name="Reveal").click()
        await expect(preview).to_contain_text("still fails")
        await page.get_by_label("Match case").check()
        await expect(preview).to_contain_text("passes")
        await page.get_by_label("Column 1").select_option("hour")
        await page.get_by_label("Value 1").fill("99")
        await expect(preview).to_contain_text("out_of_range")


async def test_everything_but_the_live_preview_works_without_a_script(
    browser: Browser, worker_page: WorkerPage
) -> None:
    place = worker_page.places["second_mendable"]
    async with a_page(browser, worker_page, java_script_enabled=False) as page:
        await page.goto(f"/dead-letters/{place}")
        await page.get_by_role("button", name="Reveal").click()
        await page.get_by_label("Match case").check()
        await page.get_by_role("button", name="Preview").click()
        await expect(page.locator("#preview")).to_contain_text("passes")
        await expect(page.get_by_label("Match case")).to_be_checked()
        await page.get_by_role("button", name="Replay").click()
        await expect(page.get_by_role("button", name="Replay 1 record")).to_be_visible()


async def test_a_letter_is_reached_and_mended_by_keyboard_alone(browser: Browser, worker_page: WorkerPage) -> None:
    async with a_page(browser, worker_page) as page:
        await page.goto("/dead-letters")
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.textContent") == "Skip to the content"
        await page.keyboard.press("Enter")
        for _ in range(40):
            await page.keyboard.press("Tab")
            if await page.evaluate("document.activeElement.matches('tbody a')"):
                break
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/dead-letters/list?**")
        await page.locator("tbody a").first.focus()
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/dead-letters/*@*")
        await page.get_by_role("button", name="Reveal").focus()
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/reveal")
        await page.get_by_label("Trim spaces").focus()
        await page.keyboard.press("Space")
        await expect(page.locator("#preview")).to_contain_text("with this fix")


async def test_no_page_is_wider_than_a_phone(browser: Browser, worker_page: WorkerPage) -> None:
    letters = [f"/dead-letters/{worker_page.places[name]}" for name in ("huge", "right_to_left", "broken_utf_8")]
    async with a_page(browser, worker_page, viewport=PHONE) as page:
        for path in (*PAGES, "/dead-letters/list?code=not_json", *letters):
            await page.goto(path)
            wide = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert wide == 0, path


async def test_the_page_is_dark_where_the_system_is(browser: Browser, worker_page: WorkerPage) -> None:
    grounds = []
    for scheme in ("light", "dark"):
        async with a_page(browser, worker_page, color_scheme=scheme) as page:
            await page.goto("/")
            grounds.append(await page.evaluate("getComputedStyle(document.documentElement).backgroundColor"))
    light, dark = (sum(map(int, ground[4:-1].split(","))) for ground in grounds)
    assert light > 600
    assert dark < 120


async def test_the_overview_stays_fresh_by_itself(browser: Browser, worker_page: WorkerPage) -> None:
    async with a_page(browser, worker_page) as page:
        await page.goto("/")
        await page.evaluate("document.getElementById('live').dataset.old = 'yes'")
        await expect(page.locator("#live[data-old]")).to_have_count(0)
        await expect(page.get_by_role("heading", name="Partitions")).to_be_visible()
