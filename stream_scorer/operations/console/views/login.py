"""Logging in and out: by a token, or by an account of one's own at an OpenID provider."""

import logging
from typing import Final
from urllib.parse import quote

from aiohttp import web

from stream_scorer.operations.console.access.oidc import CALLBACK, LOGIN_S, LoginRefusedError
from stream_scorer.operations.console.auth import (
    COOKIE,
    DEPLOYER,
    GATE,
    OIDC,
    OPERATOR,
    SESSION_S,
    VIEWER,
    AccessRefusal,
    Permission,
)
from stream_scorer.operations.console.forms.form_reader import read_form
from stream_scorer.operations.console.rendering import redirect
from stream_scorer.operations.console.request_context import Console, RequestContext

log = logging.getLogger(__name__)

# What a browser keeps while its person is at the provider
LOGIN_COOKIE: Final = "stream_scorer_login"


def login_required(console: Console, request: web.Request) -> web.Response:
    """Instead of the page that was asked for."""
    return redirect(f"/login?next={quote(str(request.rel_url))}")


async def form(console: Console, request: web.Request) -> web.Response:
    """The page at /login."""
    return console.renderer.page("login.html", next=_ours(request.query.get("next", "/")), wrong=None)


async def create_session(console: Console, request: web.Request) -> web.Response:
    """A token shown: a session, or the form again."""
    given = await read_form(request)
    target = _ours(str(given.get("next", "/")))
    if console.gate.is_from_elsewhere(request):
        return console.renderer.page(
            "login.html", status=403, next=target, wrong="This form came from another site: send it from here."
        )
    if console.gate.has_oidc:
        return console.renderer.page("login.html", status=403, next=target, wrong="Log in with your own account.")
    cookie = console.gate.enter(request, str(given.get("token", "")), str(given.get("name", "")))
    if isinstance(cookie, AccessRefusal):
        response = console.renderer.page("login.html", status=cookie.status, next=target, wrong=cookie.why)
        response.headers["Retry-After"] = str(cookie.wait_s)
        return response
    if cookie is None:
        return console.renderer.page("login.html", status=401, next=target, wrong="Unknown token.")
    response = redirect(target)
    _set_session(request, response, cookie)
    return response


async def begin_oidc(console: Console, request: web.Request) -> web.Response:
    """To the provider."""
    assert console.oidc is not None
    begun = await console.oidc.begin(_ours(request.query.get("next", "/")))
    response = redirect(begun.url)
    # `lax`: the provider's page leads back here, and only then must it be sent
    response.set_cookie(
        LOGIN_COOKIE,
        begun.cookie,
        max_age=LOGIN_S,
        path=CALLBACK,
        httponly=True,
        samesite="Lax",
        secure=_is_encrypted(request),
    )
    return response


async def finish_oidc(console: Console, request: web.Request) -> web.Response:
    """Back from the provider: a session for whom it vouches for and who is in one of the groups."""
    assert console.oidc is not None
    if (refusal := console.gate.too_many(request, OIDC)) is not None:
        response = console.renderer.page("login.html", status=refusal.status, next="/", wrong=refusal.why)
        response.headers["Retry-After"] = str(refusal.wait_s)
        return response
    try:
        person, target = await console.oidc.finish(request.cookies.get(LOGIN_COOKIE, ""), request.query)
        right = _right_of(console, person.groups)
        if right is None:
            raise LoginRefusedError(
                "Your account is in none of the groups that may use this console. Ask its administrator."
            )
    except LoginRefusedError as error:
        console.gate.failed(request, OIDC)
        log.warning("a login by OpenID Connect was refused: %s", error)
        response = console.renderer.page("login.html", status=403, next="/", wrong=str(error))
    else:
        log.info("logged in by OpenID Connect with the permissions %s", right)
        # The way here began at another site, so a browser would not send a strict cookie to where a redirect leads: a
        # page of ours that loads the next one is a new way
        response = console.renderer.page(
            "message.html", heading="You are logged in", text=f"As {person.name}.", back=_ours(target)
        )
        response.headers["Refresh"] = f"0; url={_ours(target)}"
        _set_session(request, response, console.gate.enter_as(right, person.name))
    response.del_cookie(LOGIN_COOKIE, path=CALLBACK)
    return response


def _right_of(console: Console, groups: frozenset[str]) -> Permission | None:
    """All that a person's groups may together."""
    oidc = console.settings.oidc
    roles = ((oidc.viewer_groups, VIEWER), (oidc.operator_groups, OPERATOR), (oidc.deployer_groups, DEPLOYER))
    rights = [right for wanted, right in roles if groups.intersection(wanted)]
    together = Permission(0)
    for right in rights:
        together |= right
    return together or None


async def leave(visit: RequestContext) -> web.Response:
    """No session any more, in this browser or wherever else its cookie is."""
    console = visit.console
    console.gate.leave(visit.visitor)
    is_oidc = visit.visitor.session is not None and visit.visitor.session.source == OIDC
    response: web.Response
    if is_oidc and console.oidc is not None and (url := console.oidc.logout_url()) is not None:
        response = console.renderer.page("logged_out.html", provider_url=url)
    else:
        response = redirect("/" if console.gate.is_local(visit.request) else "/login")
    response.del_cookie(COOKIE, path="/")
    return response


async def take_stale_cookie(request: web.Request, response: web.StreamResponse) -> None:
    """A cookie that opens nothing any more is taken away, so that it is not counted as a failed login for ever. Called
    as the answer is sent, when its own cookies stand in its headers already."""
    is_set = any(said.startswith(f"{COOKIE}=") for said in response.headers.getall("Set-Cookie", ()))
    if not is_set and request.app[GATE].has_stale_cookie(request):
        response.headers.add("Set-Cookie", f'{COOKIE}=""; Max-Age=0; Path=/; HttpOnly; SameSite=Strict')


def _set_session(request: web.Request, response: web.Response, cookie: str) -> None:
    # `strict`: no other site's link or form brings the session with it
    response.set_cookie(
        COOKIE, cookie, max_age=SESSION_S, path="/", httponly=True, samesite="Strict", secure=_is_encrypted(request)
    )


def _is_encrypted(request: web.Request) -> bool:
    # a proxy that ends TLS sets it; a false claim only makes the client's own cookie stricter
    return request.secure or request.headers.get("X-Forwarded-Proto", "").lower() == "https"


def _ours(path: str) -> str:
    """A path of this server; anything else becomes the overview."""
    is_path = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable() and "\\" not in path
    return path if is_path and path.isascii() else "/"
