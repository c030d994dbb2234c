"""The gateway's process: an application that answers events over HTTP, and the probes of the process.

Invariant: it is up as long as it answers, and ready as long as Kafka does.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

from stream_scorer.core.records.record import Headers
from stream_scorer.errors import SettingsError, system_words
from stream_scorer.gateway.batch import BatchPredictor
from stream_scorer.gateway.bearer_auth import read_tokens
from stream_scorer.gateway.content_negotiation import negotiated, not_acceptable
from stream_scorer.gateway.doors import Doors, record_headers
from stream_scorer.gateway.kafka_link import KafkaLink
from stream_scorer.gateway.metrics import GatewayMetrics
from stream_scorer.gateway.openapi import PAGE_POLICY, docs_page, openapi
from stream_scorer.gateway.predict import Predictor
from stream_scorer.gateway.problem import Reply, encode, too_many
from stream_scorer.gateway.request_body import read_body, wrong_media_type
from stream_scorer.gateway.response_headers import ResponseHeaders
from stream_scorer.gateway.stops import StopViews
from stream_scorer.gateway.update import OutcomeReporter
from stream_scorer.runtime.metrics.exposition import CONTENT_TYPE
from stream_scorer.runtime.settings.sections import GatewaySettings
from stream_scorer.runtime.settings.settings import Settings
from stream_scorer.runtime.web.connection_limits import ConnectionLimits, connections_max
from stream_scorer.runtime.web.rate_limit import RateLimit
from stream_scorer.runtime.web.security_headers import secure_answers
from stream_scorer.runtime.web.server import STOP_WAIT_S, HttpServer
from stream_scorer.runtime.worker.health import Health
from stream_scorer.runtime.worker.http_server import probe_view

JSON: Final = ("application/json",)
# The longest that a batch may take as a whole; a request of one event ends with the settings' timeout
ANSWER_WAIT_S: Final = 300.0
# A batch's first bytes may all be there before anybody begins to answer it
BURST_BYTES_MAX: Final = 4 * 1024 * 1024

AnswerEvent = Callable[[bytes, Headers], Awaitable[Reply]]


@asynccontextmanager
async def serve_gateway(settings: Settings) -> AsyncIterator[tuple[str, int]]:
    """Serve for as long as the block lasts; gives the address. Raises SettingsError where it can't be had, TopicsError
    where the topics are not there."""
    gateway = Gateway(settings)
    tls = tls_context(settings.gateway)
    # those in flight, as many that wait for their turn to be told, and half of all descriptors for Kafka and the rest
    connections = connections_max(2 * settings.gateway.in_flight_max, share=2)
    limits = ConnectionLimits(
        connections=connections,
        answer_wait_s=ANSWER_WAIT_S,
        body_bytes_max=settings.gateway.batch_bytes_max,
        request_bytes_max=BURST_BYTES_MAX,
    )
    server = HttpServer(
        gateway.app,
        setting="gateway.http_host:gateway.http_port",
        limits=limits,
        # whoever waits for an answer when it is told to stop still gets it
        stop_wait_s=settings.gateway.timeout_s + STOP_WAIT_S,
    )
    try:
        await gateway.link.start()
        yield await server.start(settings.gateway.http_host, settings.gateway.http_port, tls=tls)
    finally:
        await server.stop()
        await gateway.stop()


class Gateway:
    """The application and what it answers with."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings.gateway
        self.link = KafkaLink(settings)
        self._metrics = GatewayMetrics(self._settings.in_flight_max, self._settings.batch_in_flight_max)
        self._predictor = Predictor(settings, self.link)
        self._reporter = OutcomeReporter(settings, self.link)
        self._stops = StopViews(settings, self.link)
        self._batches = BatchPredictor(self._settings, self._predictor, self._metrics)
        self._in_flight = 0
        doors = Doors(
            read_tokens(self._settings.tokens_file), RateLimit(self._settings.requests_per_s_max), self._metrics
        )
        self.app = web.Application(middlewares=[doors.note, doors.explain, doors.admit])
        self.app.on_response_prepare.append(ResponseHeaders(self._settings.cors_origins).add)
        secure_answers(self.app)
        router = self.app.router
        router.add_post("/predict", self._event_view(self._predictor.answer))
        router.add_post("/predict/batch", self._batches.view)
        router.add_post("/update", self._event_view(self._reporter.answer))
        router.add_get("/stops/{id:.+}", self._stops.view)
        router.add_get("/openapi.json", _document_view())
        router.add_get("/docs", _docs_view())
        router.add_get("/livez", probe_view(self._live))
        router.add_get("/readyz", probe_view(self._ready))
        router.add_get("/metrics", self._show_metrics)

    async def stop(self) -> None:
        await self._predictor.stop()
        await self.link.stop()

    def _event_view(self, answer: AnswerEvent) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def view(request: web.Request) -> web.Response:
            if (wrong := wrong_media_type(request, JSON)) is not None:
                return wrong.response()
            if negotiated(request, *JSON) is None:
                return not_acceptable(JSON).response()
            if self._in_flight >= self._settings.in_flight_max:
                return too_many("The gateway is answering as many requests as it may: send again").response()
            self._in_flight += 1
            try:
                with self._metrics.in_progress():
                    body = await read_body(request, self._settings.body_bytes_max)
                    reply = body if isinstance(body, Reply) else await answer(body, record_headers(request))
                    return reply.response()
            finally:
                self._in_flight -= 1

        return view

    async def _live(self) -> Health:
        return Health(True, "answering")

    async def _ready(self) -> Health:
        return Health(True, "Kafka answers") if self.link.is_up else Health(False, "Kafka is away")

    async def _show_metrics(self, _: web.Request) -> web.Response:
        content = await asyncio.to_thread(self._metrics.expose, kafka_up=self.link.is_up)
        return web.Response(body=content, headers={"Content-Type": CONTENT_TYPE})


def _document_view() -> Callable[[web.Request], Awaitable[web.Response]]:
    document = encode(openapi())

    async def view(_: web.Request) -> web.Response:
        return web.Response(body=document, content_type="application/json")

    return view


def _docs_view() -> Callable[[web.Request], Awaitable[web.Response]]:
    page = docs_page()

    async def view(_: web.Request) -> web.Response:
        return web.Response(text=page, content_type="text/html", headers={"Content-Security-Policy": PAGE_POLICY})

    return view


def tls_context(settings: GatewaySettings) -> ssl.SSLContext | None:
    """What HTTPS is served with; None without a certificate. Raises SettingsError."""
    if not settings.tls_certificate_file:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(settings.tls_certificate_file, settings.tls_key_file)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(
            f"The gateway's TLS files can't be read: {system_words(error)}. "
            "Check gateway.tls_certificate_file and gateway.tls_key_file."
        ) from error
    return context
