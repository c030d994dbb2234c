"""The page put together: routes, who may use which, and what runs beside them while the server runs.

Invariant: `add_pages` only adds to an application; probes of the same server are not its business. Each view is reached
through `_guarded`, so none can forget to ask who comes, and none keeps a request for longer than `PAGE_S_MAX`.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from aiohttp import web
from multidict import MultiMapping

from stream_scorer.errors import NotFoundError, UserError
from stream_scorer.operations.console.access.oidc import CALLBACK, OidcClient
from stream_scorer.operations.console.access.sessions import RevokedSessions
from stream_scorer.operations.console.auth import FORM_FIELD, GATE, AccessRefusal, Authenticator, Permission
from stream_scorer.operations.console.dead_letter_session import DeadLetterSession, OpeningError, OpenOffice
from stream_scorer.operations.console.error_log import log_fault
from stream_scorer.operations.console.fair_slots import FairSlots, QueueFullError
from stream_scorer.operations.console.forms.form_reader import read_form
from stream_scorer.operations.console.jobs import QuotaError
from stream_scorer.operations.console.models_session import ModelsSession, OpenRollout
from stream_scorer.operations.console.rendering import ASSET_HEADERS, Renderer
from stream_scorer.operations.console.request_context import Console, RequestContext
from stream_scorer.operations.console.snapshots.recorder import Recorder
from stream_scorer.operations.console.snapshots.snapshot import SnapshotSource
from stream_scorer.operations.console.views import (
    dead_letter,
    dead_letter_actions,
    dead_letter_list,
    jobs,
    login,
    model_actions,
    models,
    overview,
    producers,
)
from stream_scorer.operations.rollout.service import open_rollout
from stream_scorer.runtime.settings.settings import Settings
from stream_scorer.runtime.web.security_headers import secure_answers

View = Callable[[RequestContext], Awaitable[web.StreamResponse]]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

# Pages that read topics, at once: of all visitors, and of one; a visitor who has more waiting is refused
PAGES_AT_ONCE: Final = 4
PAGES_AT_ONCE_EACH: Final = 2
PAGES_WAITING_EACH_MAX: Final = 16
# A page that takes longer is given up, and its slot is free for others
PAGE_S_MAX: Final = 20.0
# For a form to arrive whole
FORM_S_MAX: Final = 10.0
# They show what is known already
QUICK_PAGES: Final = frozenset({"/", "/jobs", "/jobs/{name}", "/logout"})
PAGES: Final[tuple[tuple[str, View], ...]] = (
    ("/", overview.show),
    ("/dead-letters", dead_letter_list.groups),
    ("/dead-letters/list", dead_letter_list.listing),
    ("/dead-letters/{place}", dead_letter.show),
    ("/producers", producers.show),
    ("/models", models.show),
    ("/jobs", jobs.listing),
    ("/jobs/{name}", jobs.show),
)
# Forms, and what the visitor must be allowed to. A check, a dry run and a preview answer questions about masked bytes,
# so that they need the right to act like what they prepare.
FORMS: Final[tuple[tuple[str, View, Permission], ...]] = (
    ("/dead-letters/act", dead_letter_actions.start, Permission.ACT),
    ("/producers/scorecards", producers.count_up, Permission.LOOK),
    ("/dead-letters/{place}/reveal", dead_letter.reveal, Permission.ACT),
    ("/dead-letters/{place}/preview", dead_letter.preview, Permission.ACT),
    ("/models/plan", model_actions.plan, Permission.DEPLOY),
    ("/models/act", model_actions.act, Permission.DEPLOY),
)


def add_pages(
    app: web.Application,
    settings: Settings,
    source: SnapshotSource,
    open_office: OpenOffice,
    open_models: OpenRollout | None = None,
) -> Console:
    """Add the page to an application that is not running yet. `open_models`: connects to the models of the environment;
    default as the settings say."""
    revoked = RevokedSessions(settings.state_path / "console" / "revoked-sessions.json", time.time)
    gate = Authenticator(settings.http, time.time, oidc=settings.oidc, revoked=revoked)
    app[GATE] = gate
    secure_answers(app)
    app.on_response_prepare.append(login.take_stale_cookie)
    console = Console(
        settings=settings,
        gate=gate,
        renderer=Renderer(
            environment=settings.topics.prefix.rstrip(".-_"),
            has_tokens=gate.has_tokens,
            has_act_token=gate.has_act_token,
            has_oidc=gate.has_oidc,
            has_deploy_token=gate.has_deploy_token,
        ),
        recorder=Recorder(source),
        desk=DeadLetterSession(open_office),
        slots=FairSlots(PAGES_AT_ONCE, slots_each=PAGES_AT_ONCE_EACH, waiting_max=PAGES_WAITING_EACH_MAX),
        models=ModelsSession(open_models or (lambda: open_rollout(settings))),
        oidc=OidcClient(settings.oidc) if gate.has_oidc else None,
    )
    router = app.router
    for path in console.renderer.assets.files:
        router.add_get(path, _asset(console, path))
    router.add_get("/login", _open(console, login.form))
    router.add_post("/login", _open(console, login.create_session))
    if console.oidc is not None:
        router.add_get("/login/oidc", _open(console, login.begin_oidc))
        router.add_get(CALLBACK, _open(console, login.finish_oidc))
    for path, view in PAGES:
        router.add_get(path, _guarded(console, view, Permission.LOOK))
    router.add_post("/logout", _guarded(console, login.leave, Permission.LOOK))
    for path, view, right in FORMS:
        router.add_post(path, _guarded(console, view, right))
    router.add_get("/{tail:.*}", _guarded(console, _nowhere, Permission.LOOK))
    app.cleanup_ctx.append(lambda _: _beside(console))
    return console


async def _beside(console: Console) -> AsyncIterator[None]:
    running = [asyncio.create_task(console.recorder.run()), asyncio.create_task(console.desk.run())]
    yield
    await console.desk.stop()
    await console.models.close()
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)


def _guarded(console: Console, view: View, right: Permission) -> Handler:
    """The view for whoever may, with our words for every fault."""

    async def guarded(request: web.Request) -> web.StreamResponse:
        visitor = console.gate.visitor(request)
        if isinstance(visitor, AccessRefusal):
            return _refused(console, request, visitor)
        visit = RequestContext(console, request, visitor, await _form(request))
        if request.method == "POST" and (refusal := _form_refusal(console, visit, right)) is not None:
            return refusal
        return await _told(visit, view)

    return guarded


async def _form(request: web.Request) -> MultiMapping[str] | None:
    if request.method != "POST":
        return None
    try:
        async with asyncio.timeout(FORM_S_MAX):
            return await read_form(request)
    except TimeoutError:
        raise web.HTTPRequestTimeout(text="The form did not arrive in time.") from None


def _form_refusal(console: Console, visit: RequestContext, right: Permission) -> web.Response | None:
    assert visit.form is not None
    if not console.gate.is_our_form(visit.request, visit.visitor, str(visit.form.get(FORM_FIELD, ""))):
        return visit.message(
            403,
            "This form has expired",
            "It came from another site, or the console was restarted while the page was open. Reload the page and "
            "send the form again. Nothing was changed.",
        )
    if visit.visitor.may(right):
        return None
    return visit.must_deploy() if right is Permission.DEPLOY else visit.must_act()


def _refused(console: Console, request: web.Request, refusal: AccessRefusal) -> web.Response:
    if refusal.token_helps and request.method == "GET" and "Authorization" not in request.headers:
        return login.login_required(console, request)
    response = console.renderer.page(
        "message.html", status=refusal.status, heading=refusal.title, text=refusal.why, back=None
    )
    if refusal.status == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="stream-scorer"'
    if refusal.wait_s:
        response.headers["Retry-After"] = str(refusal.wait_s)
    return response


async def _told(visit: RequestContext, view: View) -> web.StreamResponse:
    """The view's answer, or the words for what went wrong."""
    try:
        async with asyncio.timeout(PAGE_S_MAX):
            return await _answer(visit, view)
    except TimeoutError:
        return visit.message(
            503, "This takes too long", "Other pages still answer. Narrow the filter, or try again later.", back="/"
        )


async def _answer(visit: RequestContext, view: View) -> web.StreamResponse:
    try:
        if _path(visit) in QUICK_PAGES:
            return await view(visit)
        async with visit.console.slots.slot(visit.visitor_key):
            return await view(visit)
    except QueueFullError:
        return visit.message(429, "Too many requests", "Wait until the pages that you requested have loaded.")
    except QuotaError as error:
        return visit.message(429, "Too many jobs", str(error), back="/jobs")
    except OpeningError as error:
        return visit.opening(str(error))
    except NotFoundError as error:
        return visit.message(404, "Not found", str(error), back="/dead-letters")
    except UserError as error:
        return visit.message(400 if error.exit_status == 2 else 503, "Not possible now", str(error))
    except web.HTTPException:
        raise
    except Exception as error:
        log_fault(f"answering {visit.request.method} {_path(visit)}", error)
        return visit.message(
            500, "Internal error", "Internal error: the page could not be rendered. See the console's log."
        )


def _path(visit: RequestContext) -> str:
    resource = visit.request.match_info.route.resource
    return resource.canonical if resource is not None else ""


def _open(console: Console, view: Callable[[Console, web.Request], Awaitable[web.Response]]) -> Handler:
    async def open_(request: web.Request) -> web.Response:
        try:
            return await view(console, request)
        except UserError as error:
            status = 400 if error.exit_status == 2 else 503
            return console.renderer.page(
                "message.html", status=status, heading="Not possible now", text=str(error), back="/login"
            )

    return open_


async def _nowhere(visit: RequestContext) -> web.Response:
    return visit.message(404, "Page not found", "The overview leads to every page.", back="/")


def _asset(console: Console, path: str) -> Handler:
    content, content_type = console.renderer.assets.files[path]
    headers = ASSET_HEADERS | {"Content-Type": f"{content_type}; charset=utf-8"}

    async def asset(_: web.Request) -> web.Response:
        return web.Response(body=content, headers=headers)

    return asset
