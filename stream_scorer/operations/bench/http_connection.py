"""A connection to an HTTP server that is kept open, for measuring: as little work for each request as there can be,
because it shares its processor with what it measures.

Invariant: it understands what our own servers answer, and raises on anything else.
"""

import asyncio
from typing import NamedTuple, Self

HEAD_END = b"\r\n\r\n"
# A batch's answer comes in chunks of many lines
CHUNK_BYTES_MAX = 64 * 1024 * 1024


class Answered(NamedTuple):
    """An answer."""

    status: int
    body: bytes


class HttpConnection:
    """Use it inside `async with`; one request after the other."""

    def __init__(self, address: str) -> None:
        self._host, _, port = address.rpartition(":")
        self._port = int(port)

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection(self._host, self._port, limit=CHUNK_BYTES_MAX)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()

    async def post(self, path: str, body: bytes, content_type: str = "application/json") -> Answered:
        """Send a body and read the whole answer. Raises OSError where the server does not answer it."""
        head = (
            f"POST {path} HTTP/1.1\r\nHost: {self._host}\r\nContent-Type: {content_type}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        self._writer.write(head.encode() + body)
        try:
            answered = (await self._reader.readuntil(HEAD_END)).lower()
            return Answered(int(answered[9:12]), await self._body(answered))
        except (asyncio.IncompleteReadError, ValueError) as error:
            raise ConnectionResetError("the server has ended the connection within its answer") from error

    async def _body(self, head: bytes) -> bytes:
        _, is_sized, sized = head.partition(b"\r\ncontent-length: ")
        if is_sized:
            return await self._reader.readexactly(int(sized.partition(b"\r\n")[0]))
        body = bytearray()
        while size := int(await self._reader.readline(), 16):
            body += await self._reader.readexactly(size)
            await self._reader.readexactly(2)
        await self._reader.readexactly(2)
        return bytes(body)
