"""Templates filled, and answers with the headers that keep a page to itself.

Invariant: everything is escaped unless it is markup that we made; no answer of the page may be framed, sniffed, kept by
a cache, or load anything that is not ours.
"""

import hashlib
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import jinja2
from aiohttp import web

import stream_scorer
from stream_scorer.operations.console import formatting, safe_text
from stream_scorer.runtime.web.security_headers import HEADERS
from stream_scorer.runtime.worker.clock import wall_clock_ms

HERE: Final = Path(__file__).parent
PAGE_HEADERS: Final = HEADERS | {"Cache-Control": "no-store"}
# An asset's address changes with its content
ASSET_HEADERS: Final = HEADERS | {"Cache-Control": "public, max-age=31536000, immutable"}
CONTENT_TYPES: Final = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


def _number(value: float | None) -> str:
    return "–" if value is None else formatting.count(value)


def _moment(at: int | str | None, *, exact: bool = False) -> object:
    if isinstance(at, str):
        try:
            at = round(datetime.fromisoformat(at).timestamp() * 1000)
        except ValueError:
            return safe_text.safe_text(at, 40)
    return formatting.moment(at, wall_clock_ms(), exact=exact)


class Assets:
    """The files that pages load, by address; read once."""

    def __init__(self) -> None:
        self.files: dict[str, tuple[bytes, str]] = {}
        self._paths: dict[str, str] = {}
        for file in sorted((HERE / "static").iterdir()):
            content = file.read_bytes()
            digest = hashlib.sha256(content).hexdigest()[:12]
            path = f"/assets/{digest}/{file.name}"
            self.files[path], self._paths[file.name] = (content, CONTENT_TYPES[file.suffix]), path

    def path(self, name: str) -> str:
        """The address of a file."""
        return self._paths[name]


class Renderer:
    """Fills templates."""

    def __init__(
        self,
        *,
        environment: str,
        has_tokens: bool,
        has_act_token: bool,
        has_oidc: bool = False,
        has_deploy_token: bool = False,
    ) -> None:
        self.assets = Assets()
        self._templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._templates.globals |= {
            "asset": self.assets.path,
            "version": stream_scorer.__version__,
            "environment": environment,
            "has_tokens": has_tokens,
            "has_act_token": has_act_token,
            "has_oidc": has_oidc,
            "has_deploy_token": has_deploy_token,
            "visitor": None,
            "section": None,
            "notices": (),
            "here": "/",
            "back": None,
            "back_name": None,
            "items_max": safe_text.ITEMS_MAX,
        }
        self._templates.filters |= {
            "visible": safe_text.safe_text,
            "shown_pieces": safe_text.shown_pieces,
            "number": _number,
            "rate": formatting.rate,
            "figure": formatting.figure,
            "share": formatting.share,
            "duration": formatting.duration,
            "bytes_size": formatting.bytes_size,
            "moment": _moment,
        }

    def page(self, template: str, *, status: int = 200, **fields: Any) -> web.Response:
        """A template as an answer."""
        text = self._templates.get_template(template).render(fields)
        return web.Response(text=text, status=status, content_type="text/html", headers=PAGE_HEADERS)


def redirect(path: str) -> web.Response:
    """An answer that leads to another page, to be asked for with GET."""
    return web.Response(status=303, headers=PAGE_HEADERS | {"Location": path})
