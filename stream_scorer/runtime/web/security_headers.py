"""Headers that keep every answer to itself: those of pages, probes and metrics, of redirects and of errors.

Invariant: no answer may be framed, sniffed, kept by a cache (unless it says itself for how long), or load what is not
ours; set as it is sent, so that no view can forget it.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # not `no-referrer`: with it browsers send forms with `Origin: null`, and we could not tell ours
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def secure_answers(app: web.Application) -> None:
    """Every answer of this application has the headers, also those that the framework makes."""
    app.on_response_prepare.append(add_headers)
    app.middlewares.append(unreadable_requests_are_400)


async def add_headers(_: web.BaseRequest, response: web.StreamResponse) -> None:
    """Set what the answer does not say itself."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers.setdefault("Cache-Control", "no-store")
    # the versions in use help only attackers
    response.headers["Server"] = "stream-scorer"


@web.middleware
async def unreadable_requests_are_400(request: web.Request, handler: Handler) -> web.StreamResponse:
    """What is wrong with a request (a body cut off, bytes that are no text) is its sender's fault."""
    try:
        return await handler(request)
    except (UnicodeError, web.RequestPayloadError) as error:
        raise web.HTTPBadRequest(text="This request can't be read.\n") from error
