"""What every request passes: who asks, how often, what is counted and logged of it, and how errors look.

Invariant: no payload, no id of a stop and no token is ever logged, and every error is a problem in JSON.
"""

import logging
import math
import re
import time
import uuid
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, Final

from aiohttp import hdrs, web

from stream_scorer.client.connection import CLIENT_ID_HEADER
from stream_scorer.core.records.record import TRACE_HEADERS, Headers, trace_headers
from stream_scorer.gateway.bearer_auth import Tokens
from stream_scorer.gateway.metrics import GatewayMetrics
from stream_scorer.gateway.problem import Reply, problem, too_many
from stream_scorer.runtime.web.failed_logins import FailedLogins, FailureLimit, address_of
from stream_scorer.runtime.web.rate_limit import RateLimit

REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
CLIENT: Final = "client"
REQUEST: Final = "request_id"
# Paths that take events, and what metrics and the log call them
EVENT_ROUTES: Final = {"/predict": "predict", "/predict/batch": "predict_batch", "/update": "update"}
STOPS: Final = "/stops/"
OTHER: Final = "other"
# Unknown tokens of one address. Few enough that no token of 16 random characters is found; enough that a client whose
# address guesses without a pause still gets its own first try through. After that it is known.
FAILED_LOGINS_MAX: Final = FailureLimit(20, 0.5)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
log = logging.getLogger(__name__)


class Doors:
    """The middlewares of the gateway's application."""

    def __init__(self, tokens: Tokens, rate: RateLimit, metrics: GatewayMetrics) -> None:
        self._tokens, self._rate, self._metrics = tokens, rate, metrics
        self._failed_logins = FailedLogins(FAILED_LOGINS_MAX)

    @web.middleware
    async def note(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Give the request an id, and count and log how it was answered; around all others."""
        began_s = time.monotonic()
        given = request.headers.get("X-Request-ID", "")
        request[REQUEST] = given if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        route = route_of(request)
        status = int(HTTPStatus.INTERNAL_SERVER_ERROR)
        try:
            response = await handler(request)
            status = response.status
            return response
        finally:
            seconds = time.monotonic() - began_s
            self._metrics.answered(route, status, seconds)
            log.log(
                logging.DEBUG if route == OTHER else logging.INFO,
                "%s %s: %d in %.1f ms, client %s, request %s",
                request.method if request.method.isalpha() else "?",
                route,
                status,
                seconds * 1000,
                request.get(CLIENT, "-"),
                request[REQUEST],
            )

    @web.middleware
    async def explain(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Every error as a problem, our own faults too."""
        try:
            return await handler(request)
        except ConnectionResetError:
            raise  # the client is gone: there is nobody to tell
        except web.HTTPException as error:
            if error.status < HTTPStatus.BAD_REQUEST:
                raise
            if isinstance(error, web.HTTPMethodNotAllowed):
                return _other_method(error, request)
            return problem(error.status, _message(error)).response()
        except Exception:
            log.exception("internal error while answering a request (request %s)", request[REQUEST])
            return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "Internal error of the gateway; see its log").response()

    @web.middleware
    async def admit(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Events are taken from known clients only, where there are tokens, and no faster than the limit."""
        if route_of(request) == OTHER or request.method == hdrs.METH_OPTIONS:
            return await handler(request)
        if self._tokens:
            client = self._authenticated(request, time.monotonic())
            if isinstance(client, Reply):
                return client.response()
            request[CLIENT] = client
        if not self._rate.admits(request.get(CLIENT, ""), time.monotonic()):
            return too_many("This client sends more requests per second than it may: wait, then send again").response()
        return await handler(request)

    def _authenticated(self, request: web.Request, now_s: float) -> str | Reply:
        """The client whose token the request shows, or what is answered instead. A client that has shown it from this
        address before is let in whatever others at the address do."""
        authorization, address = request.headers.get("Authorization", ""), address_of(request.remote)
        client = self._tokens.client_of(authorization)
        if client is None or not self._failed_logins.is_proven(address, now_s, client):
            wait_s = math.ceil(self._failed_logins.wait_s(address, now_s))
            # who shows nothing guesses nothing
            if wait_s and authorization:
                return too_many("Too many requests with unknown tokens came from this address", retry_after_s=wait_s)
        if client is None:
            if authorization:
                self._failed_logins.failed(address, now_s)
            message = "No known token: send the header Authorization: Bearer TOKEN"
            return problem(
                HTTPStatus.UNAUTHORIZED, message, headers={"WWW-Authenticate": 'Bearer realm="stream-scorer"'}
            )
        self._failed_logins.succeeded(address, now_s, client)
        return client


def record_headers(request: web.Request) -> Headers:
    """What goes with the records of a request: who sends, and its trace."""
    client: dict[str, Any] = {CLIENT_ID_HEADER: request[CLIENT]} if CLIENT in request else {}
    traced = {name: request.headers[name] for name in TRACE_HEADERS if name in request.headers}
    sent = [(name, value.encode("utf-8", "replace")) for name, value in (client | traced).items()]
    return [*sent[: len(client)], *trace_headers(sent[len(client) :])]


def route_of(request: web.BaseRequest) -> str:
    """What metrics and the log call the request's path."""
    return "stops" if request.path.startswith(STOPS) else EVENT_ROUTES.get(request.path, OTHER)


def _other_method(error: web.HTTPMethodNotAllowed, request: web.Request) -> web.StreamResponse:
    """The answer to OPTIONS, and to a method that the path does not have."""
    allowed = ", ".join(sorted({*error.allowed_methods, hdrs.METH_OPTIONS}))
    if request.method == hdrs.METH_OPTIONS:
        return web.Response(status=HTTPStatus.NO_CONTENT, headers={"Allow": allowed})
    message = f"This path does not take this method: use {allowed}"
    return problem(HTTPStatus.METHOD_NOT_ALLOWED, message, headers={"Allow": allowed}).response()


def _message(error: web.HTTPException) -> str:
    if error.status == HTTPStatus.NOT_FOUND:
        return "Nothing is at this path: /openapi.json lists the paths"
    return error.reason
