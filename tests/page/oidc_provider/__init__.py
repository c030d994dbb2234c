"""A real OpenID provider (the certified `oidc-provider` on Node.js) on this machine."""

import contextlib
import html
import os
import re
import shutil
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urljoin

from aiohttp import ClientSession

from tests.support.programs import go_without, program

HERE: Final = Path(__file__).parent
CLIENT_ID: Final = "stream-scorer"
CLIENT_SECRET: Final = "the client's own secret: & %"


class Provider(NamedTuple):
    """One that listens. `redirect_uri`: the only address that it sends anybody back to."""

    issuer: str
    redirect_uri: str


def installed(folder: Path) -> Path:
    """The provider's program with its package beside it, installed once."""
    node, npm = program("node", "nodejs"), program("npm", "npm")
    assert node
    for name in ("package.json", "provider.mjs"):
        shutil.copy(HERE / name, folder / name)
    done = subprocess.run(
        [npm, "install", "--silent", "--no-audit", "--no-fund"], cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        go_without(f"npm can't install oidc-provider: {done.stderr[-300:]}")
    return folder / "provider.mjs"


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@contextlib.contextmanager
def running(
    script: Path, page_port: int, *, port: int | None = None, key: str = "one", **environ: str
) -> Iterator[Provider]:
    """A provider for a page at that port; another `key` is one that it has exchanged."""
    port = port or free_port()
    redirect_uri = f"http://127.0.0.1:{page_port}/login/callback"
    given = {
        "PORT": str(port),
        "CLIENT_ID": CLIENT_ID,
        "CLIENT_SECRET": CLIENT_SECRET,
        "REDIRECT_URI": redirect_uri,
        "KEY_NAME": key,
    }
    process = subprocess.Popen(
        [program("node", "nodejs"), str(script)],
        cwd=script.parent,
        env=os.environ | given | environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "listening"
        issuer = f"http://127.0.0.1:{port}"
        urllib.request.urlopen(f"{issuer}/.well-known/openid-configuration", timeout=10).close()
        yield Provider(issuer, redirect_uri)
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


async def through_the_provider(browser: ClientSession, url: str, person: str, back: str) -> str:
    """What a person does at the provider: logs in, agrees. Gives the address that it sends them back to."""
    answer = await browser.get(url, allow_redirects=False)
    for _ in range(20):
        if answer.status in (302, 303):
            target = urljoin(str(answer.url), answer.headers["Location"])
            if target.startswith(back):
                return target
            answer = await browser.get(target, allow_redirects=False)
            continue
        page = await answer.text()
        assert answer.status == 200, page
        form = re.search(r'<form[^>]*action="([^"]+)"', page)
        assert form is not None, page
        fields = dict(re.findall(r'<input[^>]*type="hidden"[^>]*name="(\w+)"[^>]*value="([^"]*)"', page))
        if "password" in page:
            fields |= {"login": person, "password": "any"}
        answer = await browser.post(
            urljoin(str(answer.url), html.unescape(form[1])), data=fields, allow_redirects=False
        )
    raise AssertionError("the provider leads nowhere")
