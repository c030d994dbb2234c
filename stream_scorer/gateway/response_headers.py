"""What every answer's headers say beside its own: the request's id, and to which web pages a browser may show it.

Invariant: an origin that is not named in the settings gets no header, so a browser keeps the answer from its pages and
sends none of their requests that are more than a form's.
"""

from collections.abc import Sequence
from typing import Final

from aiohttp import hdrs, web

from stream_scorer.gateway.doors import REQUEST

ALLOWED_METHODS: Final = "GET, HEAD, POST"
ALLOWED_HEADERS: Final = "Authorization, Content-Type, X-Request-ID, traceparent, tracestate"
EXPOSED_HEADERS: Final = "Retry-After, X-Request-ID"
# How long a browser may remember what it may send
PREFLIGHT_KEPT_S: Final = 600


class ResponseHeaders:
    """`origins`: web pages that may ask, as browsers name them."""

    def __init__(self, origins: Sequence[str]) -> None:
        self._origins = frozenset(origins)

    async def add(self, request: web.BaseRequest, response: web.StreamResponse) -> None:
        """Called as an answer is about to be sent."""
        headers = response.headers
        if REQUEST in request:
            headers["X-Request-ID"] = request[REQUEST]
        if not self._origins:
            return
        headers["Vary"] = "Origin"
        origin = request.headers.get(hdrs.ORIGIN, "")
        if origin not in self._origins:
            return
        headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
        headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = EXPOSED_HEADERS
        headers["Cross-Origin-Resource-Policy"] = "cross-origin"
        if request.method == hdrs.METH_OPTIONS and hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers:
            headers[hdrs.ACCESS_CONTROL_ALLOW_METHODS] = ALLOWED_METHODS
            headers[hdrs.ACCESS_CONTROL_ALLOW_HEADERS] = ALLOWED_HEADERS
            headers[hdrs.ACCESS_CONTROL_MAX_AGE] = str(PREFLIGHT_KEPT_S)
