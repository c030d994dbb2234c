"""Asks workers for their figures over HTTP.

Invariant: a worker that does not answer, answers slowly, or answers something else costs `ANSWER_WAIT_S` and is shown
as such; it never keeps the others' figures away.
"""

import asyncio
import socket
from collections.abc import Sequence
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import msgspec
from aiohttp import ClientError, ClientSession, ClientTimeout

from stream_scorer.runtime.settings.settings import is_loopback
from stream_scorer.runtime.worker.status import FORMAT, WorkerStatus

ANSWER_WAIT_S: Final = 2.0
STATUS_BYTES_MAX: Final = 1024 * 1024
WORKERS_MAX: Final = 256
HTTP_PORT: Final = 80

_decode: Final = msgspec.json.Decoder(WorkerStatus).decode


class WorkerAnswer(NamedTuple):
    """What came of asking at one address: figures, or why there are none."""

    address: str
    status: WorkerStatus | None
    why: str = ""


class WorkerClient:
    """Asks every worker behind some URLs. A name that has many addresses (a headless Service's, a compose service's)
    stands for a worker at each of them."""

    def __init__(self, urls: Sequence[str]) -> None:
        self._urls = urls
        self._session: ClientSession | None = None

    async def ask(self) -> list[WorkerAnswer]:
        """One answer for each address, in the order of the URLs and addresses."""
        found = await asyncio.gather(*map(self._ask_name, self._urls))
        return [answer for answers in found for answer in answers][:WORKERS_MAX]

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _ask_name(self, url: str) -> list[WorkerAnswer]:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or HTTP_PORT
        try:
            async with asyncio.timeout(ANSWER_WAIT_S):
                addresses = await _addresses(host, port)
        except (OSError, TimeoutError) as error:
            return [WorkerAnswer(f"{host}:{port}", None, f"its name can't be resolved: {_words(error)}")]
        answers = await asyncio.gather(*(self._ask(address, port) for address in addresses[:WORKERS_MAX]))
        if is_loopback(host):
            # one worker, which listens at one of this machine's own addresses
            answers = [answer for answer in answers if answer.status is not None] or answers[:1]
        return answers

    async def _ask(self, host: str, port: int) -> WorkerAnswer:
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        if self._session is None:
            # no proxy, no cookies: only what the URL names is asked
            self._session = ClientSession(timeout=ClientTimeout(total=ANSWER_WAIT_S), trust_env=False)
        try:
            async with self._session.get(f"http://{address}/status", allow_redirects=False) as response:
                if response.status != 200:
                    return WorkerAnswer(
                        address, None, f"it answers with HTTP status {response.status}, as no worker does"
                    )
                content = await response.content.readexactly(
                    min(response.content_length or STATUS_BYTES_MAX, STATUS_BYTES_MAX)
                )
        except asyncio.IncompleteReadError as error:
            content = error.partial
        except (ClientError, OSError, TimeoutError) as error:
            return WorkerAnswer(address, None, f"it does not answer: {_words(error)}")
        try:
            status = _decode(content)
        except (msgspec.DecodeError, RecursionError):
            return WorkerAnswer(address, None, f"its status can't be read: this console reads format {FORMAT}")
        return WorkerAnswer(address, status)


async def _addresses(host: str, port: int) -> list[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return sorted({str(address[0]) for *_, address in found})


def _words(error: BaseException) -> str:
    return (str(error) if str(error) and not isinstance(error, TimeoutError) else "") or "no answer in time"
