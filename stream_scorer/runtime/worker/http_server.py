"""The worker's HTTP server: an address that is listened on from the first moment, before Kafka or the model is there.

Invariant: a view only looks; what it shows is asked of the functions that it was given.
"""

import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web

from stream_scorer.errors import SettingsError
from stream_scorer.runtime.metrics.exposition import CONTENT_TYPE
from stream_scorer.runtime.worker.health import Probe


class Server:
    """Serves `/livez`, `/readyz` and `/metrics` on one address, and what `pages` adds."""

    def __init__(
        self,
        *,
        live: Probe,
        ready: Probe,
        metrics: Callable[[], bytes],
        pages: Callable[[web.Application], None] | None = None,
    ) -> None:
        app = web.Application()
        app.router.add_get("/livez", _probe_view(live))
        app.router.add_get("/readyz", _probe_view(ready))
        app.router.add_get("/metrics", _metrics_view(metrics))
        if pages is not None:
            pages(app)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False)

    async def start(self, host: str, port: int) -> tuple[str, int]:
        """Listen; port 0 takes any free one. Gives the address. Raises `SettingsError` where it can't be had."""
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port).start()
        except OSError as error:
            raise SettingsError(
                f"http.host:port = {host}:{port} can't be listened on ({os.strerror(error.errno or 0)}): "
                "choose another port with --http-port; 0 takes any free one."
            ) from error
        address: tuple[str, int] = self._runner.addresses[0][:2]
        return address

    async def stop(self) -> None:
        await self._runner.cleanup()


def write_address(path: Path, host: str, port: int) -> None:
    """Leave `host:port` in a file, whole or not at all, for who started us with port 0."""
    draft = path.with_name(path.name + ".new")
    draft.write_text(f"{host}:{port}\n")
    draft.replace(path)


def _probe_view(probe: Probe) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def view(_: web.Request) -> web.Response:
        health = await probe()
        return web.Response(text=health.why + "\n", status=200 if health.ok else 503)

    return view


def _metrics_view(metrics: Callable[[], bytes]) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def view(_: web.Request) -> web.Response:
        return web.Response(body=metrics(), headers={"Content-Type": CONTENT_TYPE})

    return view
