"""People's own accounts, with a real OpenID provider: who comes in, as whom, with which rights; what proves nothing."""

import re
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit

import jwt
import pytest
from aiohttp import ClientResponse, ClientSession, CookieJar, web
from aiohttp.test_utils import TestServer
from cryptography.hazmat.primitives.asymmetric import rsa

from stream_scorer.operations.console.access.oidc import KEYS_AGAIN_S, LoginRefusedError, OidcClient
from stream_scorer.operations.console.app import add_pages
from stream_scorer.runtime.settings.settings import OidcSettings, load_settings
from tests.page.conftest import FixedFigures, closed_office
from tests.page.oidc_provider import (
    CLIENT_ID,
    CLIENT_SECRET,
    Provider,
    free_port,
    installed,
    running,
    through_the_provider,
)

ROLES = {"viewer_groups": ["viewers"], "operator_groups": ["operators"], "deployer_groups": ["deployers"]}


class Page(NamedTuple):
    """The page, and a browser at it."""

    browser: ClientSession
    url: str


Open = Callable[..., AbstractAsyncContextManager[Page]]


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return installed(tmp_path_factory.mktemp("oidc-provider"))


@pytest.fixture(scope="module")
def page_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def provider(script: Path, page_port: int) -> Iterator[Provider]:
    with running(script, page_port) as provider:
        yield provider


@asynccontextmanager
async def page_at(provider: Provider, page_port: int, folder: Path, **changes: Any) -> AsyncIterator[Page]:
    url = f"http://127.0.0.1:{page_port}"
    oidc = {"issuer": provider.issuer, "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, "public_url": url}
    given = {f"oidc.{name}": value for name, value in (oidc | ROLES).items()}
    given |= {"http.host": "0.0.0.0", "worker.state_folder": str(folder)}
    given |= {name.replace("__", "."): value for name, value in changes.items()}
    app = web.Application()
    add_pages(app, load_settings(None, {}, given), FixedFigures(), closed_office)
    async with (
        TestServer(app, port=page_port) as server,
        ClientSession(cookie_jar=CookieJar(unsafe=True)) as browser,
    ):
        assert server.port == page_port
        yield Page(browser, url)


@pytest.fixture
def open_page(provider: Provider, page_port: int, tmp_path: Path) -> Open:
    return lambda **changes: page_at(provider, page_port, tmp_path, **changes)


async def back_from_provider(page: Page, person: str) -> str:
    """The address that the provider sends a person back to."""
    browser = page.browser
    begun = await browser.get(f"{page.url}/login/oidc?next=/jobs", allow_redirects=False)
    assert begun.status == 303, await begun.text()
    return await through_the_provider(browser, begun.headers["Location"], person, f"{page.url}/login/callback")


async def log_in(page: Page, person: str) -> ClientResponse:
    return await page.browser.get(await back_from_provider(page, person), allow_redirects=False)


def changed(url: str, **query: str) -> str:
    parts = urlsplit(url)
    said = {name: values[0] for name, values in parse_qs(parts.query).items()} | query
    return urlunsplit(parts._replace(query=urlencode(said)))


@pytest.mark.parametrize(
    ("person", "rights"),
    [
        pytest.param("vera", "read-only", id="a viewer"),
        pytest.param("otto", "can act", id="an operator"),
        pytest.param("dora", "read-only and deploy", id="a deployer"),
        pytest.param("both", "can act and deploy", id="one in two groups"),
    ],
)
async def test_a_person_has_the_rights_of_their_groups_under_a_name_that_is_verified(
    open_page: Open, person: str, rights: str
) -> None:
    async with open_page() as page:
        answer = await log_in(page, person)
        assert answer.status == 200
        assert answer.headers["Refresh"] == "0; url=/jobs"
        shown = await (await page.browser.get(f"{page.url}/")).text()
        assert f"{person}@example.org" in shown
        assert f">{rights}</span>" in shown
        # what one may do is asked of the right, not of the buttons
        token = re.search(r'name="form_token" value="(\w+)"', shown)
        assert token is not None
        form = {"do": "check", "place": "0@0", "form_token": token[1], "name": "somebody else"}
        acted = await page.browser.post(f"{page.url}/dead-letters/act", data=form)
        assert acted.status == (503 if "act" in rights else 403)


@pytest.mark.parametrize(
    ("person", "why"),
    [
        pytest.param("nobody", "in none of the groups", id="no group of ours"),
        pytest.param("shady", "has not verified your e-mail", id="an address that anybody may claim"),
    ],
)
async def test_who_is_known_and_not_meant_stays_out(open_page: Open, person: str, why: str) -> None:
    async with open_page() as page:
        answer = await log_in(page, person)
        assert answer.status == 403
        assert why in await answer.text()
        assert (await page.browser.get(f"{page.url}/", allow_redirects=False)).status == 303


async def test_no_name_can_be_typed_where_people_have_accounts(open_page: Open) -> None:
    token = "7be1-token-to-act-2f9c"
    async with open_page(http__act_token=token) as page:
        form = {"token": token, "name": "Ann Other", "next": "/"}
        assert (await page.browser.post(f"{page.url}/login", data=form)).status == 403
        shown = await (await page.browser.get(f"{page.url}/login")).text()
        assert 'name="name"' not in shown
        # scripts may still show the token, under a name that is no person's
        bearer = {"Authorization": f"Bearer {token}"}
        assert "token to act" in await (await page.browser.get(f"{page.url}/", headers=bearer)).text()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        pytest.param({"state": "another"}, "not started in this browser", id="another state"),
        pytest.param({"iss": "https://evil.example"}, "comes from another provider", id="another issuer"),
        pytest.param({"code": "made-up"}, "refused the request", id="a code that is none"),
        pytest.param({"code": ""}, "refused the login", id="no code"),
        pytest.param({"error": "access_denied"}, "refused the login", id="refused by the person"),
    ],
)
async def test_an_answer_that_was_changed_opens_nothing(open_page: Open, change: dict[str, str], why: str) -> None:
    async with open_page() as page:
        target = changed(await back_from_provider(page, "otto"), **change)
        answer = await page.browser.get(target, allow_redirects=False)
        assert answer.status == 403
        assert why in await answer.text()
        assert (await page.browser.get(f"{page.url}/", allow_redirects=False)).status == 303


async def test_an_answer_opens_nothing_in_another_browser_and_nothing_twice(open_page: Open) -> None:
    async with open_page() as page:
        target = await back_from_provider(page, "otto")
        async with ClientSession(cookie_jar=CookieJar(unsafe=True)) as other:
            assert (await other.get(target, allow_redirects=False)).status == 403
        assert (await page.browser.get(target, allow_redirects=False)).status == 200
        assert (await page.browser.get(target, allow_redirects=False)).status == 403


async def test_who_logs_out_is_out_and_led_to_the_providers_own_page(open_page: Open, provider: Provider) -> None:
    async with open_page() as page:
        await log_in(page, "otto")
        shown = await (await page.browser.get(f"{page.url}/")).text()
        token = re.search(r'name="form_token" value="(\w+)"', shown)
        assert token is not None
        copied = {cookie.key: cookie.value for cookie in page.browser.cookie_jar}
        left = await page.browser.post(f"{page.url}/logout", data={"form_token": token[1]})
        assert f"{provider.issuer}/session/end" in await left.text()
        page.browser.cookie_jar.update_cookies(copied)
        assert (await page.browser.get(f"{page.url}/", allow_redirects=False)).status == 303


async def test_a_provider_that_is_away_is_told_as_such(script: Path, page_port: int, tmp_path: Path) -> None:
    away = Provider(f"http://127.0.0.1:{free_port()}", "")
    async with page_at(away, page_port, tmp_path) as page:
        answer = await page.browser.get(f"{page.url}/login/oidc")
        assert answer.status == 503
        assert "can&#39;t be reached" in await answer.text()


# ID tokens that don't hold: signed with the provider's own key, or with one that looks like it


class Signed(NamedTuple):
    """Who signs, and what the page believes."""

    key: rsa.RSAPrivateKey
    client: OidcClient
    configuration: Any
    listed: list[Any]
    clock: list[float]


@pytest.fixture
async def signed() -> AsyncIterator[Signed]:
    """A provider of the test's own that lists one key: no real one signs what is wrong."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    app, port = web.Application(), free_port()
    issuer = f"http://127.0.0.1:{port}"
    listed, clock = [public(key, "one"), "nonsense", {"kty": "?"}], [time.time()]
    said = {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/auth",
        "token_endpoint": f"{issuer}/token",
        "jwks_uri": f"{issuer}/keys",
        "id_token_signing_alg_values_supported": ["RS256", "HS256", "none"],
    }

    async def configuration(_: web.Request) -> web.Response:
        return web.json_response(said)

    async def keys(_: web.Request) -> web.Response:
        return web.json_response({"keys": listed})

    app.router.add_get("/.well-known/openid-configuration", configuration)
    app.router.add_get("/keys", keys)
    async with TestServer(app, port=port):
        settings = OidcSettings(issuer=issuer, client_id=CLIENT_ID, client_secret=CLIENT_SECRET, public_url=issuer)
        client = OidcClient(settings, lambda: clock[0])
        yield Signed(key, client, await client._provider(), listed, clock)


def public(key: rsa.RSAPrivateKey, name: str) -> dict[str, Any]:
    return jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True) | {"kid": name, "use": "sig"}


def claims_of(issuer: str, **changes: Any) -> dict[str, Any]:
    now_s = int(time.time())
    said = {"iss": issuer, "aud": CLIENT_ID, "sub": "otto", "nonce": "n", "iat": now_s, "exp": now_s + 300}
    return {name: value for name, value in (said | changes).items() if value is not None}


async def test_an_id_token_that_holds_is_believed(signed: Signed) -> None:
    token = jwt.encode(claims_of(signed.configuration.issuer), signed.key, "RS256", {"kid": "one"})
    assert (await signed.client._verified(signed.configuration, token, "n"))["sub"] == "otto"


async def test_keys_that_the_provider_exchanged_are_asked_for_anew_but_not_at_each_try(signed: Signed) -> None:
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    claims = claims_of(signed.configuration.issuer)
    await signed.client._verified(signed.configuration, jwt.encode(claims, signed.key, "RS256", {"kid": "one"}), "n")
    signed.listed[:] = [public(other, "two")]
    exchanged = jwt.encode(claims, other, "RS256", {"kid": "two"})
    with pytest.raises(LoginRefusedError, match="does not list"):
        await signed.client._verified(signed.configuration, exchanged, "n")
    signed.clock[0] += KEYS_AGAIN_S
    await signed.client._verified(signed.configuration, exchanged, "n")


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"iss": "https://evil.example"}, id="another issuer"),
        pytest.param({"aud": "another client"}, id="another client"),
        pytest.param({"aud": [CLIENT_ID, "another"], "azp": "another"}, id="made for another client"),
        pytest.param({"exp": 1}, id="over"),
        pytest.param({"exp": None}, id="without an end"),
        pytest.param({"iat": int(time.time()) + 3_600}, id="of the future"),
        pytest.param({"nonce": "another"}, id="another login"),
        pytest.param({"nonce": None}, id="of no login"),
        pytest.param({"sub": None}, id="of nobody"),
    ],
)
async def test_an_id_token_with_other_claims_does_not_hold(signed: Signed, changes: dict[str, Any]) -> None:
    token = jwt.encode(claims_of(signed.configuration.issuer, **changes), signed.key, "RS256", {"kid": "one"})
    with pytest.raises(LoginRefusedError):
        await signed.client._verified(signed.configuration, token, "n")


async def test_an_id_token_that_the_provider_did_not_sign_does_not_hold(signed: Signed) -> None:
    claims = claims_of(signed.configuration.issuer)
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    tokens = [
        jwt.encode(claims, stranger, "RS256", {"kid": "one"}),
        jwt.encode(claims, signed.key, "RS256", {"kid": "two"}),
        jwt.encode(claims, signed.key, "PS256", {"kid": "one"}),
        jwt.encode(claims, "", "none", {"kid": "one"}),
        jwt.encode(claims, "a shared secret of 32 characters", "HS256", {"kid": "one"}),
        "not.a.token",
        "",
    ]
    for token in tokens:
        with pytest.raises(LoginRefusedError):
            await signed.client._verified(signed.configuration, token, "n")
