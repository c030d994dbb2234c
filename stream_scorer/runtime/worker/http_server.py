"""The worker's HTTP server: an address that is listened on from the first moment, before Kafka or the model is there.

Invariant: it answers what the worker knows already and changes nothing; no page, and no work on anybody's records but
a look-up of one id.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web

from stream_scorer.runtime.metrics.exposition import CONTENT_TYPE
from stream_scorer.runtime.web.connection_limits import ConnectionLimits
from stream_scorer.runtime.web.security_headers import secure_answers
from stream_scorer.runtime.web.server import HttpServer
from stream_scorer.runtime.worker.health import Probe


def worker_server(
    *,
    live: Probe,
    ready: Probe,
    metrics: Callable[[], bytes],
    status: Callable[[], bytes],
    state: Callable[[web.Request], Awaitable[web.Response]],
    closed: Callable[[str], None],
) -> HttpServer:
    """A server of `/livez`, `/readyz`, `/metrics`, `/status`, `/state/{id}`. `closed` hears why it closed a connection
    by itself."""
    app = web.Application()
    app.router.add_get("/livez", probe_view(live))
    app.router.add_get("/readyz", probe_view(ready))
    app.router.add_get("/metrics", content_view(metrics, CONTENT_TYPE))
    app.router.add_get("/status", content_view(status, "application/json"))
    # an id may have slashes
    app.router.add_get("/state/{id:.+}", state)
    secure_answers(app)
    return HttpServer(app, setting="http.host:port", limits=ConnectionLimits(closed=closed))


def write_address(path: Path, host: str, port: int) -> None:
    """Leave `host:port` in a file, whole or not at all, for whoever started us with port 0."""
    draft = path.with_name(path.name + ".new")
    draft.write_text(f"{host}:{port}\n")
    draft.replace(path)


def probe_view(probe: Probe) -> Callable[[web.Request], Awaitable[web.Response]]:
    """Answers a probe: 200 or 503, and why."""

    async def view(_: web.Request) -> web.Response:
        health = await probe()
        return web.Response(text=health.why + "\n", status=200 if health.ok else 503)

    return view


def content_view(content: Callable[[], bytes], content_type: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    """A view that answers with what it is given, asked anew each time."""

    async def view(_: web.Request) -> web.Response:
        return web.Response(body=content(), headers={"Content-Type": content_type})

    return view
