"""An HTTP server: an application that listens at one address, within the limits on connections."""

import asyncio
import os
import ssl
from typing import Final

from aiohttp import web

from stream_scorer.errors import SettingsError
from stream_scorer.runtime.web.connection_limits import BACKLOG, REQUEST_WAIT_S, ConnectionLimits
from stream_scorer.runtime.web.server_log import server_logger

# For answers under way when the server stops
STOP_WAIT_S: Final = 1.0


class HttpServer:
    """Serves one application. `setting`: what names its address, for the message where that can't be had;
    `stop_wait_s`: how long answers under way may still take when it stops."""

    def __init__(
        self,
        app: web.Application,
        *,
        setting: str,
        limits: ConnectionLimits | None = None,
        stop_wait_s: float = STOP_WAIT_S,
    ) -> None:
        self._limits = ConnectionLimits() if limits is None else limits
        app.middlewares.insert(0, self._limits.middleware)
        self._setting = setting
        self._runner = web.AppRunner(
            app,
            access_log=None,
            handle_signals=False,
            logger=server_logger(),
            keepalive_timeout=REQUEST_WAIT_S,
            lingering_time=1.0,
            shutdown_timeout=stop_wait_s,
        )
        self._listening: asyncio.Server | None = None

    async def start(self, host: str, port: int, *, tls: ssl.SSLContext | None = None) -> tuple[str, int]:
        """Listen, over TLS where it is given; port 0 takes any free one. Gives the address. Raises `SettingsError`
        where it can't be had."""
        await self._runner.setup()
        make = self._runner.server
        assert make is not None
        try:
            self._listening = await asyncio.get_running_loop().create_server(
                self._limits.limited(make), host, port, backlog=BACKLOG, ssl=tls
            )
        except OSError as error:
            raise SettingsError(
                f"{self._setting} = {host}:{port} can't be listened on ({os.strerror(error.errno or 0)}): "
                "take another with --http-port, 0 for any free one."
            ) from error
        address: tuple[str, int] = self._listening.sockets[0].getsockname()[:2]
        return address

    async def stop(self) -> None:
        """Take no more connections, and end those that there are."""
        if self._listening is not None:
            self._listening.close()
        await self._runner.cleanup()
