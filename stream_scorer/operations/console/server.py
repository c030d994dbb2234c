"""The page on a server: that of a worker, or one of its own.

Invariant: whoever serves it, it is the same page.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from stream_scorer.operations.console.app import add_pages
from stream_scorer.operations.console.dead_letter_session import OpenOffice
from stream_scorer.operations.console.snapshots.kafka_snapshot import TopicFigures
from stream_scorer.operations.console.snapshots.worker_snapshot import WorkerFigures
from stream_scorer.operations.dead_letters.service import open_service
from stream_scorer.runtime.settings.settings import Settings
from stream_scorer.runtime.worker.health import Health
from stream_scorer.runtime.worker.http_server import Server
from stream_scorer.runtime.worker.service import WorkerService


def pages_of_worker(app: web.Application, delivery: WorkerService) -> None:
    """Add the page to a worker's server."""
    add_pages(app, delivery.settings, WorkerFigures(delivery), office_of(delivery.settings))


@asynccontextmanager
async def serve_console(settings: Settings) -> AsyncIterator[tuple[str, int]]:
    """Serve the page without a worker, for as long as the block lasts; gives the address. Raises SettingsError where it
    can't be had."""
    figures = TopicFigures(settings)

    async def fine() -> Health:
        return Health(True, "serving the page")

    def pages(app: web.Application) -> None:
        add_pages(app, settings, figures, office_of(settings))

    server = Server(
        live=fine,
        ready=fine,
        metrics=lambda: b"",
        pages=pages,
    )
    try:
        yield await server.start(settings.http.host, settings.http.port)
    finally:
        await server.stop()
        await figures.close()


def office_of(settings: Settings) -> OpenOffice:
    """Opens the environment's dead letters."""
    return lambda: open_service(settings)
