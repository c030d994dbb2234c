"""The page "Models" over a real Kafka: who serves where, evidence as drawings, and acts that are confirmed first."""

import os
import re
from collections.abc import AsyncIterator
from html import unescape

import msgspec
import pytest
from playwright.async_api import async_playwright, expect

from stream_scorer.core.records.model_control import ControlAct, DeployedModels
from stream_scorer.core.rollout.evidence import cell_of
from stream_scorer.operations.rollout.service import Rollout, open_rollout, served
from tests.integration.broker_sources import Broker
from tests.page.conftest import Client
from tests.page.conftest import served as page_served
from tests.page.test_browser import ARGUMENTS, Seen
from tests.support.rollout import a_new_model, a_served_model, fresh_topics, worker_hand

DEPLOY_TOKEN = "31fd-token-to-deploy-models"
ACT_TOKEN = "7be1-token-to-act-here"
DEPLOYER = {"Authorization": f"Bearer {DEPLOY_TOKEN}"}
NAME = "Dana Deployer"
CHAMPION, CANARY, SHADOW = (
    a_served_model("stops", "a"),
    a_served_model("trees", "b", 0.41),
    a_served_model("night-shift", "c", 0.44),
)
# Of 1,000 outcomes: the canary finds more than the champion, and is wrong less often
BETTER = {
    (0, 0, 0): 430,
    (0, 0, 1): 60,
    (0, 1, 1): 90,
    (0, 1, 0): 40,
    (1, 0, 0): 60,
    (1, 0, 1): 20,
    (1, 1, 1): 180,
    (1, 1, 0): 120,
}


def better(times: float) -> list[int]:
    cells = [0] * 8
    for (champion, candidate, outcome), count in BETTER.items():
        cells[cell_of(bool(champion), bool(candidate), bool(outcome))] = int(count * times)
    return cells


def worse(times: float) -> list[int]:
    """Champion and candidate in each other's place."""
    cells = [0] * 8
    for (champion, candidate, outcome), count in BETTER.items():
        cells[cell_of(bool(candidate), bool(champion), bool(outcome))] = int(count * times)
    return cells


@pytest.fixture
async def rollout(broker: Broker, prefix: str) -> AsyncIterator[Rollout]:
    async with fresh_topics(broker.bootstrap, prefix) as settings, open_rollout(settings) as rollout:
        yield rollout


@pytest.fixture
async def page(rollout: Rollout) -> AsyncIterator[Client]:
    settings = rollout.settings
    given = {"kafka__bootstrap": settings.kafka.bootstrap, "topics__prefix": settings.topics.prefix}
    async with page_served(**given, http__deploy_token=DEPLOY_TOKEN, http__act_token=ACT_TOKEN) as client:
        yield client


async def deployed(rollout: Rollout) -> DeployedModels:
    """A champion, a canary and a shadow; all lanes but one serve them, and outcomes have come."""
    await rollout.commit(await rollout.plan_deploy(CHAMPION, "champion"), "the first one")
    await rollout.commit(await rollout.plan_deploy(CANARY, "canary", share=0.1), "boosted trees, March to May")
    act = await rollout.commit(await rollout.plan_deploy(SHADOW, "shadow"), "only stops at night")
    models = act.control.models
    async with worker_hand(rollout.settings) as worker:
        await worker.switch(models, act.offset, lanes=[0, 1, 2])
        for step in range(1, 13):
            await worker.count(models, CANARY, better(step * 0.35), lane=step % 2)
            await worker.count(models, SHADOW, worse(step * 0.1), lane=step % 2)
    return models


async def text(client: Client, path: str = "/models", **options: object) -> str:
    async with client.get(path, **options) as answer:  # type: ignore[arg-type]
        assert answer.status == 200, await answer.text()
        return await answer.text()


async def post(client: Client, path: str, form: dict[str, str], status: int = 200) -> str:
    async with client.post(path, data=form, headers=DEPLOYER, allow_redirects=False) as answer:
        assert answer.status == status, await answer.text()
        return unescape(await answer.text())


def fields_of(page: str) -> dict[str, str]:
    """The hidden fields of the form that confirms."""
    form = page[page.index('action="/models/act"') :]
    found = re.findall(r'name="(\w+)" value="([^"]*)"', form[: form.index("</form>")])
    return {name: unescape(value) for name, value in found if name != "form_token"}


async def test_without_a_model_the_page_says_how_to_begin(page: Client) -> None:
    found = await text(page)
    assert "No model is deployed" in found
    assert "log in</a> with the deploy token" in found


async def test_who_serves_where_and_what_is_missing(page: Client, rollout: Rollout) -> None:
    await deployed(rollout)
    found = unescape(await text(page))
    assert "3 of 4 lanes serve what was asked for" in found
    for model in (CHAMPION, CANARY, SHADOW):
        assert model.label in found
    assert "boosted trees, March to May" in found
    assert f"{CHAMPION.label} predicts the stops of" in found
    assert f"but for 10 % of the ids: there the canary {CANARY.label} does." in found
    assert f"{CHAMPION.label} became champion with the act “deploy” by ann: the first one." in found
    assert f"{SHADOW.label} is a shadow: scored, not published." in found
    assert found.count('<svg class="calibration"') == 2
    assert found.count('<svg class="distribution"') == 2 * 9
    assert found.count('<svg class="evidence"') == 12  # six for each candidate
    assert re.search(r"gain after 4\u202f\d+ outcomes: 0\.\d+, bounds 0\.\d+ to 0\.\d+, must be at least 0\.000", found)
    assert "shown better" in found or "undecided" in found
    assert "harm shown" in found
    assert "only where a search happened" in found.lower()
    # whoever only looks gets no button
    assert "/models/plan" not in found


async def test_an_act_is_shown_confirmed_and_traced(page: Client, rollout: Rollout) -> None:
    await deployed(rollout)
    shown = await post(page, "/models/plan", {"do": "share", "share": "25", "why": "looks good"})
    assert "gets 25 % of the ids instead of 10 %" in shown
    control = (await rollout.status()).control
    assert control is not None
    assert control.models.canary is not None
    assert control.models.canary.share == 0.1  # nothing has happened yet
    await post(page, "/models/act", fields_of(shown), 303)
    status = await rollout.status()
    assert status.control is not None
    assert status.control.models.canary is not None
    assert (status.control.models.canary.share, status.control.why) == (0.25, "looks good")
    assert "looks good" in await text(page)


@pytest.mark.parametrize(
    ("form", "words", "roles"),
    [
        ({"do": "promote", "model": CANARY.digest, "force": "1"}, "replaces", {"champion": CANARY.label}),
        ({"do": "withdraw", "model": CANARY.digest}, "10 % of the ids go back to", {"champion": CHAMPION.label}),
        ({"do": "stop", "model": SHADOW.digest}, "is unloaded by all workers", {"canary": CANARY.label}),
    ],
    ids=["promote", "withdraw", "stop"],
)
async def test_every_button_does_what_it_said(
    page: Client, rollout: Rollout, form: dict[str, str], words: str, roles: dict[str, str]
) -> None:
    await deployed(rollout)
    shown = await post(page, "/models/plan", form)
    assert words in shown
    await post(page, "/models/act", fields_of(shown), 303)
    found = {model.role: model.label for model in (await rollout.status()).models}
    assert found.items() >= roles.items()


async def test_automatic_decisions_are_switched_on_and_off(page: Client, rollout: Rollout) -> None:
    await rollout.commit(await rollout.plan_deploy(CHAMPION, "champion"))
    model = a_new_model("uploaded")
    await rollout.upload(model)
    form = {"do": "deploy", "model": model.digest, "role": "shadow", "auto": "1"}
    shown = await post(page, "/models/plan", form)
    assert "the judge promotes a candidate by itself, once" in shown
    await post(page, "/models/act", fields_of(shown), 303)
    assert "Automatic decisions are on" in await text(page)
    shown = await post(page, "/models/plan", {"do": "auto"})
    await post(page, "/models/act", fields_of(shown), 303)
    control = (await rollout.status()).control
    assert control is not None
    assert (control.act, control.test.auto) == (ControlAct.AUTO, False)


async def test_before_a_candidate_is_promoted_the_page_says_what_outcomes_show_of_it(
    page: Client, rollout: Rollout
) -> None:
    await deployed(rollout)
    shown = await post(page, "/models/plan", {"do": "promote", "model": SHADOW.digest, "force": "1"})
    assert re.search(r"harm shown</span> \d of 10 conditions shown by 2\u202f\d+ outcomes", shown)
    assert "conditions shown" not in await post(page, "/models/plan", {"do": "share", "share": "20"})


async def test_an_uploaded_model_is_deployed_and_rolled_back(page: Client, rollout: Rollout) -> None:
    model = a_new_model("uploaded", threshold=0.33)
    await rollout.commit(await rollout.plan_deploy(CHAMPION, "champion"))
    await rollout.upload(model)
    shown = await post(page, "/models/plan", {"do": "deploy", "model": model.digest, "role": "champion"})
    await post(page, "/models/act", fields_of(shown), 303)
    control = (await rollout.status()).control
    assert control is not None
    assert control.models.champion == served("uploaded", model.digest, 0.33)
    shown = await post(page, "/models/plan", {"do": "rollback"})
    await post(page, "/models/act", fields_of(shown), 303)
    assert [each.role for each in (await rollout.status()).models] == ["champion", "previous"]


async def test_what_was_confirmed_too_late_is_not_done(page: Client, rollout: Rollout) -> None:
    await deployed(rollout)
    fields = fields_of(await post(page, "/models/plan", {"do": "withdraw", "model": CANARY.digest}))
    await rollout.commit(await rollout.plan_share(0.5))
    assert "Nothing was changed by you" in await post(page, "/models/act", fields, 409)
    control = (await rollout.status()).control
    assert control is not None
    assert control.models.canary is not None


async def test_a_promotion_names_the_lanes_that_are_not_ready(page: Client, rollout: Rollout) -> None:
    await deployed(rollout)
    assert "not loaded on the lanes 3 (waiting)" in await post(
        page, "/models/plan", {"do": "promote", "model": CANARY.digest}, 503
    )


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({"do": "share", "share": "150"}, "a percentage between 0 and 100"),
        ({"do": "share", "share": "a lot"}, "a percentage between 0 and 100"),
        ({"do": "deploy", "model": "a" * 64, "role": "king"}, "shadow, canary or champion"),
        ({"do": "nothing"}, "use one of its buttons"),
        ({}, "use one of its buttons"),
    ],
    ids=["too-much", "no-number", "no-role", "unknown", "empty"],
)
async def test_a_form_that_cannot_be_meant_is_told(
    page: Client, rollout: Rollout, form: dict[str, str], message: str
) -> None:
    await deployed(rollout)
    assert message in await post(page, "/models/plan", form, 400)


@pytest.mark.parametrize("path", ["/models/plan", "/models/act"])
@pytest.mark.parametrize("token", [None, ACT_TOKEN], ids=["nobody", "operator"])
async def test_only_deployers_deploy(page: Client, rollout: Rollout, path: str, token: str | None) -> None:
    models = await deployed(rollout)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    form = {"do": "withdraw", "model": CANARY.digest, "based_on": "2"}
    async with page.post(path, data=form, headers=headers) as answer:
        assert answer.status == 403
    control = (await rollout.status()).control
    assert control is not None
    assert control.models == models


async def test_a_strangers_words_stay_words(page: Client, rollout: Rollout) -> None:
    await rollout.commit(await rollout.plan_deploy(CHAMPION, "champion"), "<script>alert(1)</script>\u202e")
    found = await text(page)
    assert "<script>alert" not in found
    assert "\u202e" not in found


async def test_a_kafka_that_is_away_is_told() -> None:
    async with page_served(kafka__bootstrap="127.0.0.1:1") as client, client.get("/models") as answer:
        assert answer.status == 503
        assert "Kafka does not answer" in await answer.text()


async def test_a_deployer_acts_in_a_browser(page: Client, rollout: Rollout, chromium: str) -> None:
    await deployed(rollout)
    url = str(page.make_url("")).rstrip("/")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=list(ARGUMENTS))
        try:
            context = await browser.new_context(base_url=url, viewport={"width": 1280, "height": 900})
            seen_page = await context.new_page()
            seen = Seen(seen_page, url)
            await seen_page.goto("/login?next=/models")
            await seen_page.get_by_label("Token").fill(DEPLOY_TOKEN)
            await seen_page.get_by_label("Your name").fill(NAME)
            await seen_page.get_by_role("button", name="Log in").click()
            await expect(seen_page.get_by_role("heading", name="Models", exact=True)).to_be_visible()
            if folder := os.environ.get("STREAM_SCORER_SCREENSHOTS"):
                await seen_page.screenshot(path=f"{folder}/models.png", full_page=True)
            await seen_page.get_by_role("button", name=f"Withdraw {CANARY.digest[:12]}").click()
            await expect(seen_page.locator("#what")).to_contain_text(f"{CANARY.label} is unloaded by all workers")
            if folder:
                await seen_page.screenshot(path=f"{folder}/models-confirm.png", full_page=True)
            await seen_page.get_by_role("button", name="Confirm").click()
            await expect(seen_page.get_by_text(f"withdraw by {NAME}").first).to_be_visible()
            width = await seen_page.evaluate("document.documentElement.scrollWidth")
            assert width <= 1280
            await seen_page.set_viewport_size({"width": 390, "height": 844})
            assert await seen_page.evaluate("document.documentElement.scrollWidth") <= 390
            if folder:
                await seen_page.screenshot(path=f"{folder}/models-phone.png", full_page=True)
            assert seen.wrong == []
        finally:
            await browser.close()
    control = (await rollout.status()).control
    assert control is not None
    assert (control.who, control.models.canary) == (NAME, None)
    assert msgspec.to_builtins(control.models)["champion"]["digest"] == CHAMPION.digest
