"""Logging in and out."""

import asyncio
from typing import Final
from urllib.parse import quote

from aiohttp import web

from stream_scorer.operations.console.auth import COOKIE, SESSION_S, Refusal
from stream_scorer.operations.console.rendering import redirect
from stream_scorer.operations.console.request_context import Console, RequestContext

# Guessing a token is slow, however many try at once
WRONG_WAIT_S: Final = 0.5


def login_required(console: Console, request: web.Request) -> web.Response:
    """Instead of the page that was asked for."""
    return redirect(f"/login?next={quote(str(request.rel_url))}")


async def form(console: Console, request: web.Request) -> web.Response:
    """The page at /login."""
    return console.renderer.page("login.html", next=_ours(request.query.get("next", "/")), wrong=None)


async def create_session(console: Console, request: web.Request) -> web.Response:
    """A token shown: a session, or the form again."""
    given = await request.post()
    target = _ours(str(given.get("next", "/")))
    if console.gate.is_from_elsewhere(request):
        return console.renderer.page(
            "login.html", status=403, next=target, wrong="This form came from another site: send it from here."
        )
    cookie = console.gate.enter(str(given.get("token", "")), str(given.get("name", "")))
    if cookie is None:
        await asyncio.sleep(WRONG_WAIT_S)
        return console.renderer.page("login.html", status=401, next=target, wrong="This token is not known.")
    response = redirect(target)
    # `strict`: no other site's link or form brings the session with it
    response.set_cookie(
        COOKIE, cookie, max_age=SESSION_S, path="/", httponly=True, samesite="Strict", secure=_is_encrypted(request)
    )
    return response


async def leave(visit: RequestContext) -> web.Response:
    """No session any more."""
    refused = isinstance(visit.console.gate.visitor(visit.request), Refusal)
    response = redirect("/login" if refused or not visit.console.gate.is_local(visit.request) else "/")
    response.del_cookie(COOKIE, path="/")
    return response


def _is_encrypted(request: web.Request) -> bool:
    # a proxy that ends TLS says so; whoever claims it falsely only makes their own cookie stricter
    return request.secure or request.headers.get("X-Forwarded-Proto", "").lower() == "https"


def _ours(path: str) -> str:
    """A path of this server; anything else becomes the overview."""
    is_path = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable() and "\\" not in path
    return path if is_path else "/"
