"""The demo's page: everybody at the terminal, and nobody else, is told how to act on it."""

import asyncio
import contextlib
import io
import re
import signal
import subprocess

import psutil
import pytest
from aiohttp import ClientError, ClientSession, CookieJar
from rich.console import Console

from stream_scorer.operations.demo.live_counts import LiveCounts
from stream_scorer.operations.demo.terminal_view import Scene, render
from tests.integration.test_demo import running_demo, summary_of

SAID = re.compile(
    r"Console: (http://\S+)\nTo replay or discard dead letters in the console, log in with the token (\w{16})\n"
)


def said_at_start(demo: "subprocess.Popen[str]") -> tuple[str, str]:
    """The page's address and the token to act on it."""
    assert demo.stderr is not None
    told = ""
    for line in demo.stderr:
        told += line
        if found := SAID.search(told):
            return found[1], found[2]
    pytest.fail(f"the demo ended without a token to act:\n{told}")


async def what_tokens_open(url: str, token: str) -> None:
    async with ClientSession(url, cookie_jar=CookieJar(unsafe=True)) as session:
        async with session.get("/") as answer:
            assert "read-only" in await answer.text()
        async with session.post("/login", data={"token": "0" * len(token)}) as answer:
            assert answer.status == 401
        async with session.post("/login", data={"token": token}) as answer:
            assert "can act" in await answer.text()


@pytest.mark.kafka
def test_the_demo_says_with_which_token_to_act_and_only_that_one_does() -> None:
    with running_demo("--rate", "20") as demo:
        url, token = said_at_start(demo)
        children = psutil.Process(demo.pid).children(recursive=True)
        assert not any(token in word for child in children for word in child.cmdline())
        asyncio.run(what_tokens_open(url, token))
        demo.send_signal(signal.SIGINT)
        summary_of(demo)


@pytest.mark.kafka
@pytest.mark.long
def test_a_console_that_ends_is_started_again_at_the_same_address() -> None:
    with running_demo("--rate", "20") as demo:
        url, token = said_at_start(demo)
        children = psutil.Process(demo.pid).children(recursive=True)
        (console,) = [child for child in children if "console" in child.cmdline()]
        console.kill()
        console.wait(10)
        asyncio.run(answers_again(url))
        asyncio.run(what_tokens_open(url, token))
        demo.send_signal(signal.SIGINT)
        assert summary_of(demo)["worker_restarts"] == 0


async def answers_again(url: str) -> None:
    async with asyncio.timeout(60), ClientSession(url) as session:
        while True:
            with contextlib.suppress(ClientError):
                async with session.get("/livez") as answer:
                    assert answer.status == 200
                    return
            await asyncio.sleep(0.2)


def test_the_smallest_terminal_has_room_for_the_page_and_its_token() -> None:
    console = Console(file=io.StringIO(), width=80, height=24, color_system=None)
    scene = Scene("127.0.0.1:34567", "127.0.0.1:45678", "0123456789abcdef", restarts=12)
    with console.capture() as captured:
        console.print(render(LiveCounts(), scene, height=24), height=24)
    for wanted in ("http://127.0.0.1:45678", "to replay, log in with 0123456789abcdef", "restarted 12×"):
        assert wanted in captured.get()
