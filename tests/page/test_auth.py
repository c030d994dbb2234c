"""Who may look at the page, and who may act on it."""

import asyncio
import re
import time
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientResponse
from yarl import URL

from stream_scorer.operations.console.auth import ADDRESS_LIMIT, COOKIE, GATE, SESSION_S, Authenticator, Permission
from stream_scorer.operations.console.server import serve_console
from stream_scorer.runtime.settings.settings import HttpSettings, load_settings
from tests.page.conftest import Client, Serve

VIEW, ACT = "2f9c-token-to-view", "7be1-token-to-act"
ELSEWHERE: dict[str, Any] = {"http__host": "0.0.0.0"}
WITH_TOKENS = ELSEWHERE | {"http__view_token": VIEW, "http__act_token": ACT}
PAGES = ("/", "/dead-letters", "/dead-letters/list", "/dead-letters/0@0", "/producers", "/jobs", "/jobs/x", "/nowhere")


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def form_token(client: Client) -> str:
    """What a page of ours puts into its forms. (The overview has none of its own, so the form to log out is asked.)"""
    page = await (await client.get("/jobs/x")).text()
    found = re.search(r'name="form_token" value="(\w+)"', page)
    return found[1] if found else ""


async def act(client: Client, *, do: str = "replay", token: str = "", **options: Any) -> ClientResponse:
    """Ask for an act, without being led on. Kafka is away: an act that is let through ends with 503."""
    form = {"do": do, "place": "0@0", "why": "a test", "form_token": token}
    return await client.post("/dead-letters/act", data=form, allow_redirects=False, **options)


async def log_in(client: Client, token: str, name: str = "") -> ClientResponse:
    return await client.post("/login", data={"token": token, "name": name, "next": "/"}, allow_redirects=False)


# On loopback


async def test_loopback_is_open_for_looking(serve: Serve) -> None:
    async with serve() as client:
        assert (await client.get("/")).status == 200


@pytest.mark.parametrize("name", ["evil.example", "evil.example:8080", "10.0.0.1", "127.0.0.1.evil.example", "[::2]"])
async def test_loopback_under_another_name_is_refused(serve: Serve, name: str) -> None:
    async with serve() as client:
        answer = await client.get("/", headers={"Host": name})
        assert answer.status == 403
        assert "loopback" in await answer.text()


@pytest.mark.parametrize("name", ["localhost:9000", "127.0.0.1", "[::1]:8080", "127.3.2.1"])
async def test_loopback_under_any_of_its_names_is_open(serve: Serve, name: str) -> None:
    async with serve() as client:
        assert (await client.get("/", headers={"Host": name})).status == 200


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via", "X-Forwarded-Host"])
async def test_what_comes_through_a_proxy_is_not_loopback(serve: Serve, header: str) -> None:
    async with serve() as client:
        assert (await client.get("/", headers={header: "203.0.113.9"})).status == 403


async def test_loopback_with_a_token_to_act_is_open_for_looking_only(serve: Serve) -> None:
    async with serve(http__act_token=ACT) as client:
        page = await (await client.get("/")).text()
        assert "read-only" in page
        assert (await act(client, headers=bearer(ACT))).status == 503
        assert (await act(client, headers=bearer("wrong"))).status == 403
        assert (await act(client)).status == 403


async def test_loopback_without_a_token_to_act_is_open_for_looking_only(serve: Serve) -> None:
    async with serve() as client:
        page = await (await client.get("/")).text()
        assert "read-only" in page
        assert "/login" not in page
        for token in ("", ACT):
            assert (await act(client, headers=bearer(token))).status == 403
            assert (await log_in(client, token)).status == 401


# Forms


async def test_a_form_without_its_token_does_nothing(serve: Serve) -> None:
    async with serve() as client:
        for token in ("", "0" * 64, "ü"):
            answer = await act(client, token=token)
            assert answer.status == 403
            assert "This form has expired" in await answer.text()


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"Origin": "http://evil.example"}, id="another_origin"),
        pytest.param({"Origin": "null"}, id="hidden_origin"),
        pytest.param({"Sec-Fetch-Site": "cross-site"}, id="the_browser_says_another_site"),
        pytest.param({"Sec-Fetch-Site": "same-site"}, id="another_port_of_this_machine"),
    ],
)
async def test_a_form_of_another_site_does_nothing_even_with_its_token(serve: Serve, headers: dict[str, str]) -> None:
    async with serve(**WITH_TOKENS) as client:
        await log_in(client, ACT)
        token = await form_token(client)
        assert (await act(client, token=token)).status == 503
        assert (await act(client, token=token, headers=headers)).status == 403


async def test_one_sessions_form_token_is_worth_nothing_in_another(serve: Serve) -> None:
    async with serve(**WITH_TOKENS) as client:
        await log_in(client, ACT, "ann")
        token = await form_token(client)
        client.session.cookie_jar.clear()
        await log_in(client, ACT, "bob")
        assert (await act(client, token=token)).status == 403


# Elsewhere


async def test_without_tokens_the_page_is_closed_beyond_loopback(serve: Serve) -> None:
    async with serve(**ELSEWHERE) as client:
        for path in PAGES:
            answer = await client.get(path, allow_redirects=False)
            assert answer.status == 403
            assert "http.view_token" in await answer.text()


async def test_beyond_loopback_every_page_wants_a_token(serve: Serve) -> None:
    async with serve(**WITH_TOKENS) as client:
        for path in PAGES:
            answer = await client.get(path, allow_redirects=False)
            assert answer.status == 303
            assert answer.headers["Location"].startswith("/login?next=")
            assert (await client.get(path, headers=bearer("wrong"))).status == 401


async def test_a_name_of_loopback_opens_nothing_where_it_is_served_beyond(serve: Serve) -> None:
    async with serve(**WITH_TOKENS) as client:
        assert (await client.get("/", headers={"Host": "localhost"}, allow_redirects=False)).status == 303


async def test_the_token_to_view_looks_and_does_not_act(serve: Serve) -> None:
    async with serve(**WITH_TOKENS) as client:
        assert (await client.get("/", headers=bearer(VIEW))).status == 200
        assert (await act(client, do="replay", headers=bearer(VIEW))).status == 403
        assert (await act(client, do="discard", headers=bearer(VIEW))).status == 403
        reveal = await client.post("/dead-letters/0@0/reveal", headers=bearer(VIEW))
        assert reveal.status == 403
        # what these answer depends on masked bytes
        for do in ("check", "dry-run", "discard-dry-run"):
            assert (await act(client, do=do, headers=bearer(VIEW))).status == 403
        assert (await client.post("/dead-letters/0@0/preview", headers=bearer(VIEW))).status == 403


async def test_the_token_to_act_looks_and_acts(serve: Serve) -> None:
    async with serve(**WITH_TOKENS) as client:
        assert (await client.get("/", headers=bearer(ACT))).status == 200
        assert (await act(client, headers=bearer(ACT))).status == 503


# Sessions


async def test_who_logs_in_has_a_session_that_scripts_and_other_sites_cant_use(serve: Serve) -> None:
    async with serve(**WITH_TOKENS) as client:
        answer = await log_in(client, VIEW, "Ann Other")
        assert answer.status == 303
        morsel = SimpleCookie(answer.headers["Set-Cookie"])[COOKIE]
        assert morsel["httponly"]
        assert morsel["samesite"] == "Strict"
        assert VIEW not in morsel.value
        page = await (await client.get("/")).text()
        assert "Ann Other" in page
        assert "read-only" in page


async def test_a_wrong_token_is_no_session(serve: Serve) -> None:
    async with serve(**WITH_TOKENS) as client:
        answer = await log_in(client, "wrong")
        assert answer.status == 401
        assert "Set-Cookie" not in answer.headers


async def test_who_logs_out_has_no_session_any_more(serve: Serve) -> None:
    async with serve(**WITH_TOKENS) as client:
        await log_in(client, VIEW)
        await client.post("/logout", data={"form_token": await form_token(client)})
        assert (await client.get("/", allow_redirects=False)).status == 303


@pytest.mark.parametrize("target", ["//evil.example", "https://evil.example", "/\\evil.example", "evil", "/a\nb"])
async def test_logging_in_leads_nowhere_else(serve: Serve, target: str) -> None:
    async with serve(**WITH_TOKENS) as client:
        answer = await client.post("/login", data={"token": VIEW, "next": target}, allow_redirects=False)
        assert answer.headers["Location"] == "/"


def request_with(client: Client, cookie: str) -> None:
    client.session.cookie_jar.clear()
    client.session.cookie_jar.update_cookies({COOKIE: cookie}, URL(str(client.make_url("/"))))


def cookie_of(view: str = VIEW, *, seconds_ago: float = 0) -> str:
    """A session's cookie as a console with these tokens issues it."""
    gate = Authenticator(HttpSettings(view_token=view, act_token=ACT), lambda: time.time() - seconds_ago)
    return gate.sessions.issue("view", int(Permission.LOOK), "")


async def test_a_session_that_was_changed_is_none(serve: Serve) -> None:
    async with serve(**WITH_TOKENS) as client:
        cookie = cookie_of()
        said, signature = cookie.rsplit(".", 1)
        for forged in (f"2{cookie}", f"{said}.{signature[:-2]}xx", said, "1.9.x.y", "ü.ü", "."):
            request_with(client, forged)
            assert (await client.get("/", allow_redirects=False)).status == 303
        request_with(client, cookie)
        assert (await client.get("/", allow_redirects=False)).status == 200


async def test_a_session_ends_with_its_time_and_with_its_token(serve: Serve) -> None:
    async with serve(**WITH_TOKENS) as client:
        for cookie in (cookie_of(seconds_ago=SESSION_S + 5), cookie_of("another-token-4711")):
            request_with(client, cookie)
            assert (await client.get("/", allow_redirects=False)).status == 303


async def test_a_cookie_that_opens_nothing_is_taken_away(serve: Serve) -> None:
    async with serve(**WITH_TOKENS) as client:
        request_with(client, cookie_of("another-token-4711"))
        answer = await client.get("/", allow_redirects=False)
        assert SimpleCookie(answer.headers["Set-Cookie"])[COOKIE]["max-age"] == "0"


async def test_a_session_that_was_logged_out_stays_so_over_a_restart(serve: Serve, tmp_path: Path) -> None:
    given = WITH_TOKENS | {"worker__state_folder": str(tmp_path)}
    async with serve(**given) as client:
        answer = await log_in(client, VIEW)
        copied = SimpleCookie(answer.headers["Set-Cookie"])[COOKIE].value
        await client.post("/logout", data={"form_token": await form_token(client)})
        request_with(client, copied)
        assert (await client.get("/", allow_redirects=False)).status == 303
    async with serve(**given) as client:
        request_with(client, copied)
        assert (await client.get("/", allow_redirects=False)).status == 303
        request_with(client, cookie_of())
        assert (await client.get("/", allow_redirects=False)).status == 200
    file = next(tmp_path.rglob("revoked-sessions.json"))  # noqa: ASYNC240  # nothing else runs
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)


# Roles


async def test_the_token_to_deploy_looks_and_deploys_and_does_not_act(serve: Serve) -> None:
    async with serve(**WITH_TOKENS, http__deploy_token="11-token-to-deploy") as client:
        page = await (await client.get("/", headers=bearer("11-token-to-deploy"))).text()
        assert "read-only and deploy" in page
        assert (await act(client, headers=bearer("11-token-to-deploy"))).status == 403


# Guessing


@pytest.mark.parametrize("by", ["bearer", "form", "session"])
async def test_guesses_are_counted_and_then_not_even_looked_at(serve: Serve, by: str) -> None:
    async def guess(client: Client, right: bool = False) -> ClientResponse:
        if by == "form":
            return await log_in(client, VIEW if right else "wrong")
        if by == "bearer":
            return await client.get("/", headers=bearer(VIEW if right else "wrong"), allow_redirects=False)
        request_with(client, cookie_of() if right else "forged")
        return await client.get("/", allow_redirects=False)

    async with serve(**WITH_TOKENS) as client:
        gate: Authenticator = client.app[GATE]
        statuses = [(await guess(client)).status for _ in range(ADDRESS_LIMIT.failures_max + 3)]
        shown = gate.metrics.expose().decode()
        assert f'stream_scorer_login_failures_total{{by="{by}"}} {ADDRESS_LIMIT.failures_max}.0' in shown
        assert f'stream_scorer_logins_throttled_total{{by="{by}"}} 3.0' in shown
        if by == "session":  # a session that holds needs no luck
            assert (await guess(client, right=True)).status == 200
        else:
            assert statuses[-3:] == [429] * 3
            answer = await guess(client, right=True)
            assert answer.status == 429
            assert int(answer.headers["Retry-After"]) > 0


async def test_who_is_in_stays_in_while_others_guess(serve: Serve) -> None:
    async with serve(**WITH_TOKENS) as client:
        await log_in(client, VIEW)
        for _ in range(ADDRESS_LIMIT.failures_max + 1):
            await client.get("/", headers=bearer("wrong"))
        assert (await client.get("/", allow_redirects=False)).status == 200


# Requests that are none


@pytest.mark.parametrize("path", ["/login", "/logout", "/dead-letters/act", "/dead-letters/0@0/preview"])
@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        pytest.param("multipart/form-data", b"x", id="multipart without a boundary"),
        pytest.param("multipart/form-data; boundary=x", b"--x\r\n\r\nhalf", id="multipart cut off"),
        pytest.param("multipart/form-data; boundary=x", b"no boundary", id="multipart that is none"),
        pytest.param(
            "multipart/form-data; boundary=x", b"--x\r\nno header\r\n\r\nx\r\n--x--", id="no header in a part"
        ),
        pytest.param(
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="t"\r\nx: ' + b"x" * 9_000 + b"\r\n\r\nx\r\n--x--\r\n",
            id="a header of a part that does not end",
        ),
        pytest.param(
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="t"\r\nContent-Encoding: gzip\r\n\r\nx\r\n--x--\r\n',
            id="a part in a coding that it does not have",
        ),
        pytest.param(
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="token"; filename="f"\r\n\r\nx\r\n--x--\r\n',
            id="a file",
        ),
        pytest.param(
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="t"\r\n'
            b"Content-Transfer-Encoding: base64\r\n\r\n!\r\n--x--\r\n",
            id="base64 that is none",
        ),
        pytest.param("application/x-www-form-urlencoded; charset=nonsense", b"token=a", id="an unknown charset"),
        pytest.param("application/x-www-form-urlencoded; charset=utf-16", b"a", id="bytes that are not of the charset"),
        pytest.param("application/x-www-form-urlencoded; charset=idna", b"a=\xff", id="a charset that is no charset"),
        pytest.param("application/x-www-form-urlencoded", b"token=\xff\xfe", id="bytes that are not UTF-8"),
        pytest.param("application/x-www-form-urlencoded", b"token=%ed%a0%80&name=%ff", id="escaped bytes, not UTF-8"),
        pytest.param('text/plain; charset="', b"\x00", id="no form"),
    ],
)
async def test_a_form_that_cant_be_read_is_its_senders_fault(
    serve: Serve, path: str, content_type: str, body: bytes
) -> None:
    async with serve(**WITH_TOKENS) as client:
        await log_in(client, ACT)
        headers = {"Content-Type": content_type}
        async with client.post(path, data=body, headers=headers, allow_redirects=False) as answer:
            assert 400 <= answer.status < 500
            assert "Traceback" not in await answer.text()
            assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "path",
    [
        "/login?next=%ff",
        "/dead-letters?text=%ff%fe",
        "/dead-letters/%ff",
        "/dead-letters/list?id=%ed%a0%80",
        "/jobs/%00",
        "/%ff",
    ],
)
async def test_an_address_that_is_no_text_is_no_fault_of_ours(serve: Serve, path: str) -> None:
    async with serve() as client:
        answer = await client.get(URL(path, encoded=True))
        assert answer.status in (200, 400, 404, 503)
        assert "A fault of our own" not in await answer.text()


def test_to_act_includes_to_look() -> None:
    assert Permission.ACT > Permission.LOOK


# Headers


async def test_every_answer_keeps_the_page_to_itself(serve: Serve) -> None:
    async with serve() as client:
        page = await (await client.get("/")).text()
        assets = re.findall(r'(?:href|src)="(/assets/[^"]+)"', page)
        assert len(assets) == 3
        answers = [await client.get(path) for path in (*PAGES, "/login", *assets)]
        answers.append(await client.get("/", headers={"Host": "evil.example"}))
        answers.append(await client.put("/"))  # no view of ours: the framework's own answer
        answers.append(await client.post("/logout", data="x", headers={"Content-Type": "multipart/form-data"}))
        answers.append(await client.post("/dead-letters/act", data={"do": "replay"}))
        answers.append(await client.get("/nowhere", headers=bearer("wrong"), allow_redirects=False))
        for answer in answers:
            assert answer.headers["Server"] == "stream-scorer"
            policy = answer.headers["Content-Security-Policy"]
            assert policy.startswith("default-src 'none'; ")
            assert "unsafe" not in policy
            assert "frame-ancestors 'none'" in policy
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Referrer-Policy"] == "same-origin"


async def test_no_page_is_kept_by_a_cache(serve: Serve) -> None:
    async with serve() as client:
        for path in PAGES:
            assert (await client.get(path)).headers["Cache-Control"] == "no-store"


async def test_a_page_says_what_keeps_the_letters_away(serve: Serve) -> None:
    async with serve() as client:
        await client.get("/dead-letters")
        answer = await client.get("/dead-letters")
        assert answer.status == 503
        assert "Kafka does not answer at nowhere:1." in await answer.text()


async def test_a_request_that_is_none_is_400_and_the_log_does_not_quote_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    given = {"http.port": 0, "kafka.bootstrap": "127.0.0.1:1", "worker.state_folder": str(tmp_path)}
    async with serve_console(load_settings(None, {}, given)) as (host, port):
        for sent in (b"Jones\r\n\r\n", b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: Jones\r\n\r\n"):
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(sent)
            assert b" 400 " in await reader.readline()
            writer.close()
            await writer.wait_closed()
    assert "a request failed" in caplog.text
    assert "Jones" not in caplog.text
    assert "Traceback" not in caplog.text
