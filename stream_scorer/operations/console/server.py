"""The console's process: the page, and the probes of the process that serves it.

Invariant: no worker runs here and no record is scored here, so that use of the console costs workers nothing.
"""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

from stream_scorer.operations.console.app import add_pages
from stream_scorer.operations.console.dead_letter_session import OpenOffice
from stream_scorer.operations.console.snapshots.workers_snapshot import WorkerFigures
from stream_scorer.operations.dead_letters.service import open_service
from stream_scorer.runtime.metrics.exposition import CONTENT_TYPE
from stream_scorer.runtime.settings.settings import Settings
from stream_scorer.runtime.web.server import HttpServer
from stream_scorer.runtime.worker.health import Health
from stream_scorer.runtime.worker.http_server import content_view, probe_view

# What a form of ours may send; a JSON Patch is the largest part of one
FORM_BYTES_MAX: Final = 256 * 1024
# More than all jobs and pages may use at once, so that none of them waits for a thread
THREADS: Final = 32


@asynccontextmanager
async def serve_console(settings: Settings) -> AsyncIterator[tuple[str, int]]:
    """Serve the page for as long as the block lasts; gives the address. Raises SettingsError where it can't be had."""
    threads = ThreadPoolExecutor(THREADS, thread_name_prefix="console")
    asyncio.get_running_loop().set_default_executor(threads)
    figures = WorkerFigures(settings)
    app = web.Application(client_max_size=FORM_BYTES_MAX)
    app.router.add_get("/livez", probe_view(_serving))
    app.router.add_get("/readyz", probe_view(_serving))
    console = add_pages(app, settings, figures, office_of(settings))
    app.router.add_get("/metrics", content_view(console.gate.metrics.expose, CONTENT_TYPE))
    server = HttpServer(app, setting="http.host:console.http_port")
    try:
        yield await server.start(settings.http.host, settings.console.http_port)
    finally:
        await server.stop()
        await figures.close()


async def _serving() -> Health:
    # the page says itself what it can't show: it is up as long as it answers
    return Health(True, "serving the page")


def office_of(settings: Settings) -> OpenOffice:
    """Opens the environment's dead letters."""
    return lambda: open_service(settings)
