"""The page at `/docs` in a real Chromium: it tries every operation, and nothing on it is loaded from elsewhere."""

import json
from pathlib import Path

from playwright.async_api import async_playwright, expect

from tests.gateway.calls import a_gateway
from tests.page.test_browser import ARGUMENTS, Seen
from tests.support.programs import program
from tests.support.workers import Environment


async def test_every_operation_can_be_tried(environment: Environment, tmp_path: Path) -> None:
    chromium = program("chromium", "chromium")
    await environment.start()
    prefix = environment.settings.topics.prefix
    with a_gateway(environment.bootstrap, prefix, tmp_path, gateway__timeout_s=40) as gateway:
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=chromium, args=list(ARGUMENTS))
            try:
                page = await browser.new_page()
                url = f"http://{gateway.http_address}"
                seen = Seen(page, url)
                await page.goto(f"{url}/docs")
                answers = {}
                for path in ("/predict", "/predict/batch", "/update", "/stops/{id}"):
                    form = page.locator(f'form[data-path="{path}"]')
                    await form.get_by_role("button").click()
                    await expect(form.locator("pre")).to_contain_text("200 ", timeout=60_000)
                    answers[path] = json.loads((await form.locator("pre").inner_text()).removeprefix("200 "))
                assert answers["/stops/{id}"]["outcome"]["true_class"] is answers["/update"]["true_class"] is True
                assert answers["/predict/batch"][0]["proba"] == answers["/predict"]["proba"]
                assert not seen.wrong
            finally:
                await browser.close()
