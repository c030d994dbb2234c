"""Clients that send slowly, half, nothing, or without end; and those that come properly meanwhile."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import ClientSession, web

from stream_scorer.errors import SettingsError
from stream_scorer.runtime.web.connection_limits import REQUEST_BYTES_MAX, ConnectionLimits
from stream_scorer.runtime.web.server import HttpServer

REQUEST = b"GET /livez HTTP/1.1\r\nHost: here\r\n\r\n"
# Nothing here takes that long
PATIENCE_S = 20.0


@asynccontextmanager
async def serving(**limits: Any) -> AsyncIterator[tuple[int, ConnectionLimits]]:
    """A server with these limits, and its port."""

    async def fine(request: web.Request) -> web.StreamResponse:
        return web.Response(text="alive\n")

    async def slow(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(PATIENCE_S)
        return web.Response(text="late\n")

    async def take(request: web.Request) -> web.StreamResponse:
        return web.Response(text=str(len(await request.read())))

    app = web.Application()
    app.router.add_get("/livez", fine)
    app.router.add_get("/slow", slow)
    app.router.add_post("/take", take)
    made = ConnectionLimits(**limits)
    server = HttpServer(app, setting="here", limits=made)
    _, port = await server.start("127.0.0.1", 0)
    try:
        yield port, made
    finally:
        await server.stop()


async def opened(port: int, sent: bytes = b"") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    return reader, writer


async def until_closed(reader: asyncio.StreamReader) -> bytes:
    """Everything that came before the server closed."""
    async with asyncio.timeout(PATIENCE_S):
        with contextlib.suppress(ConnectionError):
            return await reader.read()
    return b""


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"GET /liv", id="half a line"),
        pytest.param(b"GET /livez HTTP/1.1\r\nHost: here\r\nX-More: ", id="half a head"),
        pytest.param(b"\r\n" * 10, id="blank lines"),
        pytest.param(b"POST /nowhere HTTP/1.1\r\nHost: here\r\nContent-Length: 99\r\n\r\nhalf", id="half a body"),
        pytest.param(b"POST /take HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n", id="a chunk"),
        pytest.param(REQUEST, id="no second request"),
    ],
)
async def test_who_does_not_send_a_whole_request_in_time_is_let_go(sent: bytes) -> None:
    async with serving(request_wait_s=0.2, answer_wait_s=0.4) as (port, limits):
        reader, writer = await opened(port, sent)
        await until_closed(reader)
        assert len(limits) == 0
        writer.close()


async def test_why_a_connection_was_closed_is_told_and_one_that_was_answered_is_none_of_them() -> None:
    why: list[str] = []
    async with serving(request_wait_s=0.2, connections=2, closed=why.append) as (port, limits):
        answered, _ = kept = await opened(port, REQUEST)
        await answered.readline()
        await until_closed(answered)
        assert why == []
        half = [await opened(port, b"GET /liv") for _ in range(3)]
        await until_closed(half[0][0])
        assert why == ["displaced"]
        await until_closed(half[2][0])
        assert why == ["displaced", "timeout", "timeout"]
        assert len(limits) == 0
        for _, writer in (kept, *half):
            writer.close()


async def test_who_sends_a_byte_now_and_then_is_let_go_too() -> None:
    async with serving(request_wait_s=0.3) as (port, _):
        reader, writer = await opened(port)
        closed = asyncio.create_task(until_closed(reader))
        async with asyncio.timeout(PATIENCE_S):
            for byte in REQUEST * 100:
                if closed.done() or writer.is_closing():
                    break
                with contextlib.suppress(ConnectionError):
                    writer.write(b"X" if byte in b"\r\n" else bytes([byte]))
                    await writer.drain()
                await asyncio.sleep(0.05)
        assert await closed == b""
        writer.close()


async def test_who_takes_no_answer_is_let_go() -> None:
    async with serving(request_wait_s=0.3) as (port, limits):
        # many answers that nobody reads
        _, writer = await opened(port, REQUEST * 5_000)
        async with asyncio.timeout(PATIENCE_S):
            while len(limits):
                await asyncio.sleep(0.05)
        writer.close()


async def test_a_head_without_end_is_cut_off() -> None:
    async with serving() as (port, _):
        reader, writer = await opened(port, b"GET /livez HTTP/1.1\r\n")
        closed = asyncio.create_task(until_closed(reader))
        sent = 0
        async with asyncio.timeout(PATIENCE_S):
            while not closed.done() and sent < 100 * REQUEST_BYTES_MAX:
                with contextlib.suppress(ConnectionError):
                    writer.write(b"X-More: " + b"x" * 4_000 + b"\r\n")
                    await writer.drain()
                sent += 4_000
                await asyncio.sleep(0)
        assert sent < 50 * REQUEST_BYTES_MAX
        writer.close()


async def test_half_open_connections_keep_nobody_out() -> None:
    async with serving(connections=8) as (port, limits):
        half = [await opened(port, b"GET /liv") for _ in range(50)]
        async with ClientSession() as session:
            for _ in range(20):
                async with session.get(f"http://127.0.0.1:{port}/livez") as answer:
                    assert answer.status == 200
                half.append(await opened(port))
        assert len(limits) <= 8
        for _, writer in half:
            writer.close()


async def test_a_request_that_is_being_answered_keeps_its_place() -> None:
    async with serving(connections=4) as (port, limits):
        busy = [await opened(port, b"GET /slow HTTP/1.1\r\nHost: here\r\n\r\n") for _ in range(3)]
        async with asyncio.timeout(PATIENCE_S):
            while limits.answered < 3:
                await asyncio.sleep(0.01)
        for _ in range(20):
            half = await opened(port)
            half[1].close()
        reader, writer = await opened(port, REQUEST)
        async with asyncio.timeout(PATIENCE_S):
            assert b"200 OK" in await reader.readline()
        assert not any(reader.at_eof() for reader, _ in busy)
        for _, each in (*busy, (reader, writer)):
            each.close()


async def test_where_every_connection_is_being_answered_another_is_refused_at_once() -> None:
    async with serving(connections=2) as (port, limits):
        busy = [await opened(port, b"GET /slow HTTP/1.1\r\nHost: here\r\n\r\n") for _ in range(2)]
        async with asyncio.timeout(PATIENCE_S):
            while limits.answered < 2:
                await asyncio.sleep(0.01)
        reader, writer = await opened(port, REQUEST)
        assert await until_closed(reader) == b""
        for _, each in (*busy, (reader, writer)):
            each.close()


async def test_connections_that_are_kept_alive_answer_again_and_again() -> None:
    async with serving() as (port, limits), ClientSession() as session:
        for _ in range(5):
            async with session.get(f"http://127.0.0.1:{port}/livez") as answer:
                assert await answer.text() == "alive\n"
        async with session.post(f"http://127.0.0.1:{port}/take", data=b"x" * 200_000) as answer:
            assert await answer.text() == "200000"
        assert len(limits) == 1


async def test_an_address_that_is_taken_is_told_with_its_setting() -> None:
    async with serving() as (port, _):
        with pytest.raises(SettingsError, match=f"there = 127.0.0.1:{port} can't be listened on"):
            await HttpServer(web.Application(), setting="there").start("127.0.0.1", port)
