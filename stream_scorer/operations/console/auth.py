"""Who may look at the page and who may act on it.

Invariant: a request is believed for what it proves. On loopback looking is open, and a name that is not loopback's, or
a proxy's header, ends that; every other request shows a token, and nobody acts anywhere without the token to act.
Whoever acts from a browser also proves that the form is ours.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Callable
from enum import IntEnum
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from aiohttp import web

from stream_scorer.runtime.settings.settings import HttpSettings, is_loopback

COOKIE: Final = "stream_scorer_session"
FORM_FIELD: Final = "form_token"
SESSION_S: Final = 12 * 3600
NAME_CHARACTERS_MAX: Final = 60
# A request that came through somebody else's server is not from this machine, whatever its address
PROXY_HEADERS: Final = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Via")


class Permission(IntEnum):
    """What a visitor may do; to act includes to look."""

    LOOK = 1
    ACT = 2


class Principal(NamedTuple):
    """Whoever may at least look. `name` stands in the ledger, None: as the settings or the system say."""

    right: Permission
    name: str | None = None
    has_session: bool = False
    form_key: bytes | None = None  # None: no form needed, the request carries its token itself

    @property
    def may_act(self) -> bool:
        return self.right >= Permission.ACT

    @property
    def form_token(self) -> str:
        return self.seal("form")

    def seal(self, said: str) -> str:
        """Proof that we said this to this visitor, to come back with a form; empty for who sends no forms."""
        return "" if self.form_key is None else _signed(self.form_key, said.encode())

    def is_seal(self, said: str, seal: str) -> bool:
        return bool(seal) and _same(self.seal(said), seal)


class Refusal(NamedTuple):
    """Why not, in words for a person, and whether a token would help."""

    status: int
    title: str
    why: str
    token_helps: bool = False


class Authenticator:
    """Decides on requests. `clock`: seconds since 1970."""

    def __init__(self, http: HttpSettings, clock: Callable[[], float]) -> None:
        self._on_loopback = is_loopback(http.host)
        self._tokens = {Permission.LOOK: http.view_token.encode(), Permission.ACT: http.act_token.encode()}
        self._clock = clock
        # forms on an open page are ours for as long as we live
        self._own_key = secrets.token_bytes(32)

    @property
    def has_tokens(self) -> bool:
        """Whether anybody could log in."""
        return any(self._tokens.values())

    @property
    def has_act_token(self) -> bool:
        """Whether anybody could ever act."""
        return bool(self._tokens[Permission.ACT])

    def visitor(self, request: web.Request) -> Principal | Refusal:
        """Who asks. On loopback whoever shows no token may look."""
        shown = self._by_bearer(request) or self._by_cookie(request)
        if shown is not None:
            return shown
        return Principal(Permission.LOOK, form_key=self._own_key) if self.is_local(request) else self._refusal(request)

    def is_local(self, request: web.Request) -> bool:
        """Whether the request was made on this machine to an address of this machine. A page of another site can bring
        a browser here under its own name, so the name counts too."""
        return (
            self._on_loopback
            and is_loopback(_host_name(request.host))
            and not any(name in request.headers for name in PROXY_HEADERS)
        )

    def _refusal(self, request: web.Request) -> Refusal:
        if self._tokens[Permission.LOOK] or self._tokens[Permission.ACT]:
            if "Authorization" in request.headers:
                return Refusal(401, "This token is not known", "Show http.view_token or http.act_token.", True)
            return Refusal(401, "A token is needed", "Log in with the token to look or the token to act.", True)
        if self._on_loopback:
            return Refusal(
                403,
                "Only open to this machine",
                "The page is served at a loopback address and no token is set, so it opens only under a loopback name "
                "and without a proxy: http://127.0.0.1 or http://localhost with its port. To serve it to others, set "
                "http.view_token and http.act_token.",
            )
        return Refusal(
            403,
            "The page is closed",
            "It is served beyond loopback and no token is set. Set http.view_token (to look) and http.act_token "
            "(to act), or a file for each, and start again. Probes and metrics stay open.",
        )

    # What proves a right

    def _right_of(self, token: bytes) -> Permission | None:
        found = None
        for right, wanted in self._tokens.items():
            if wanted and hmac.compare_digest(hashlib.sha256(token).digest(), hashlib.sha256(wanted).digest()):
                found = right
        return found

    def _by_bearer(self, request: web.Request) -> Principal | None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        right = self._right_of(token.strip().encode(errors="replace"))
        return Principal(right) if right is not None else None

    def enter(self, token: str, name: str) -> str | None:
        """A session's cookie for whoever shows a token; None for who shows none of ours."""
        right = self._right_of(token.strip().encode(errors="replace"))
        if right is None:
            return None
        called = base64.urlsafe_b64encode(" ".join(name.split())[:NAME_CHARACTERS_MAX].encode(errors="replace"))
        said = f"{right.value}.{int(self._clock()) + SESSION_S}.{called.decode()}"
        return f"{said}.{_signed(self._tokens[right], said.encode())}"

    def _by_cookie(self, request: web.Request) -> Principal | None:
        # signed with the token itself: every worker takes it, and a new token ends all sessions
        cookie = request.cookies.get(COOKIE, "")
        said, _, signature = cookie.rpartition(".")
        parts = said.split(".")
        if len(parts) != 3 or parts[0] not in ("1", "2") or not (parts[1].isascii() and parts[1].isdigit()):
            return None
        right = Permission(int(parts[0]))
        token = self._tokens[right]
        if not token or not _same(_signed(token, said.encode(errors="replace")), signature):
            return None
        if int(parts[1]) < self._clock():
            return None
        try:
            name = base64.urlsafe_b64decode(parts[2]).decode()
        except (binascii.Error, UnicodeDecodeError):
            return None
        key = hmac.digest(token, cookie.encode(errors="replace"), "sha256")
        return Principal(right, name or None, has_session=True, form_key=key)

    # Whether a form is ours

    def is_from_elsewhere(self, request: web.Request) -> bool:
        """Whether the browser says that another site's page sent this."""
        if request.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
            return True
        origin = request.headers.get("Origin")
        return origin is not None and urlsplit(origin).netloc != request.host

    def is_our_form(self, request: web.Request, visitor: Principal, token: str) -> bool:
        """Whether a form that acts came from a page of ours, shown to this visitor."""
        if visitor.form_key is None:
            return True  # no other site can make a browser send our token in a header
        if self.is_from_elsewhere(request):
            return False
        return _same(visitor.form_token, token)


def _signed(key: bytes, said: bytes) -> str:
    return hmac.digest(key, b"stream-scorer:" + said, "sha256").hex()


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode(errors="replace"))


def _host_name(host: str) -> str:
    """The name or address in a Host header, without its port."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
