"""Who may look at the page, who may act on it, and who may deploy models.

Invariant: a request is believed for what it proves. On loopback looking is open, and a name that is not loopback's, or
a proxy's header, ends that; every other request shows a token or a session, and nobody acts or deploys anywhere without
proof of that right. Whoever acts from a browser also proves that the form is ours. What does not prove anything is
counted, and bounded.
"""

import hashlib
import hmac
import math
import secrets
from collections.abc import Callable
from enum import IntFlag
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from aiohttp import web

from stream_scorer.operations.console.access.login_metrics import LoginMetrics
from stream_scorer.operations.console.access.sessions import SESSION_S, RevokedSessions, Session, Sessions
from stream_scorer.runtime.settings.settings import HttpSettings, OidcSettings, is_loopback
from stream_scorer.runtime.web.failed_logins import FailedLogins, FailureLimit, address_of

__all__ = ["COOKIE", "FORM_FIELD", "GATE", "SESSION_S", "AccessRefusal", "Authenticator", "Permission", "Principal"]

COOKIE: Final = "stream_scorer_session"
FORM_FIELD: Final = "form_token"
# What is typed as a name; who comes by OpenID Connect has the provider's
NAME_CHARACTERS_MAX: Final = 60
# A request that came through somebody else's server is not from this machine, whatever its address
PROXY_HEADERS: Final = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Via")
OIDC: Final = "oidc"
# Whoever has mistyped is let in again, and a token of 16 random characters is not found in the life of the universe
ADDRESS_LIMIT: Final = FailureLimit(10, 30.0)
# All addresses together, so that many of them gain little
LIMIT_TOGETHER: Final = FailureLimit(100, 2.0)


class Permission(IntFlag):
    """What a visitor may do. ACT: reveal, check, replay and discard dead letters; DEPLOY: deploy models."""

    LOOK = 1
    ACT = 2
    DEPLOY = 4


VIEWER: Final = Permission.LOOK
OPERATOR: Final = Permission.LOOK | Permission.ACT
DEPLOYER: Final = Permission.LOOK | Permission.DEPLOY


class Principal(NamedTuple):
    """A user with at least read access. `name` is the one for the ledger; None: that of the settings or the system."""

    right: Permission
    name: str | None = None
    has_session: bool = False
    form_key: bytes | None = None  # None: no form needed, the request carries its token itself
    session: Session | None = None

    def may(self, permission: Permission) -> bool:
        return permission in self.right

    @property
    def is_vouched_for(self) -> bool:
        """Whether the provider says who this is."""
        return self.session is not None and self.session.source == OIDC

    @property
    def may_act(self) -> bool:
        return self.may(Permission.ACT)

    @property
    def may_deploy(self) -> bool:
        return self.may(Permission.DEPLOY)

    @property
    def form_token(self) -> str:
        return self.seal("form")

    def seal(self, said: str) -> str:
        """A signature that a form of this user has to return; empty for a request without forms."""
        return "" if self.form_key is None else _signed(self.form_key, said.encode())

    def is_seal(self, said: str, seal: str) -> bool:
        return bool(seal) and _same(self.seal(said), seal)


class AccessRefusal(NamedTuple):
    """Why not, in words for a person, and whether a token would help. `wait_s`: for how long nothing would."""

    status: int
    title: str
    why: str
    token_helps: bool = False
    wait_s: int = 0


class Authenticator:
    """Decides on requests. `clock`: seconds since 1970."""

    def __init__(
        self,
        http: HttpSettings,
        clock: Callable[[], float],
        *,
        oidc: OidcSettings | None = None,
        revoked: RevokedSessions | None = None,
    ) -> None:
        self._on_loopback = is_loopback(http.host)
        self._tokens = {
            source: (right, token.encode())
            for source, right, token in (
                ("view", VIEWER, http.view_token),
                ("act", OPERATOR, http.act_token),
                ("deploy", DEPLOYER, http.deploy_token),
            )
            if token
        }
        self.has_oidc = oidc is not None and bool(oidc.issuer)
        self._clock = clock
        sources = {source: token for source, (_, token) in self._tokens.items()}
        if oidc is not None and self.has_oidc:
            sources[OIDC] = f"{oidc.issuer}\n{oidc.client_id}\n{oidc.client_secret}".encode()
        self.sessions = Sessions(sources, revoked or RevokedSessions(None, clock), clock)
        self.failed_logins = FailedLogins(ADDRESS_LIMIT, LIMIT_TOGETHER)
        self.metrics = LoginMetrics()
        # forms on an open page are ours for as long as we live
        self._own_key = secrets.token_bytes(32)

    @property
    def has_tokens(self) -> bool:
        """Whether anybody could log in."""
        return bool(self._tokens) or self.has_oidc

    @property
    def has_act_token(self) -> bool:
        """Whether anybody could ever act."""
        return "act" in self._tokens or self.has_oidc

    @property
    def has_deploy_token(self) -> bool:
        """Whether anybody could ever deploy models here."""
        return "deploy" in self._tokens or self.has_oidc

    def visitor(self, request: web.Request) -> Principal | AccessRefusal:
        """The user of a request. On loopback a request without a token has read access."""
        shown = self._by_bearer(request) or self._by_cookie(request)
        if shown is not None:
            return shown
        if self.is_local(request):
            return Principal(VIEWER, form_key=self._own_key)
        return self._refusal(request)

    def is_local(self, request: web.Request) -> bool:
        """Whether the request was made on this machine to an address of this machine. A page of another site can bring
        a browser here under its own name, so the name counts too."""
        return (
            self._on_loopback
            and is_loopback(_host_name(request.host))
            and not any(name in request.headers for name in PROXY_HEADERS)
        )

    def _refusal(self, request: web.Request) -> AccessRefusal:
        if self.has_tokens:
            if "Authorization" in request.headers:
                return AccessRefusal(401, "Unknown token", "Send http.view_token or http.act_token.", True)
            how = "your account" if self.has_oidc else "the view token or the act token"
            return AccessRefusal(401, "Login required", f"Log in with {how}.", True)
        if self._on_loopback:
            return AccessRefusal(
                403,
                "Open on this machine only",
                "The page is served at a loopback address and no token is set, so it opens only under a loopback name "
                "and without a proxy: http://127.0.0.1 or http://localhost with its port. To serve it to others, set "
                "http.view_token and http.act_token, or [oidc].",
            )
        return AccessRefusal(
            403,
            "The console is closed",
            "The console listens beyond loopback and no token is set. Set http.view_token (read-only) and "
            "http.act_token (act), or a file for each, or [oidc] for people's own accounts, and restart it. Probes "
            "and metrics stay open.",
        )

    # What proves a right

    def _source_of(self, token: bytes) -> str | None:
        """Whose token it is. Every token is compared, and in constant time."""
        shown, found = hashlib.sha256(token).digest(), None
        for source, (_, wanted) in self._tokens.items():
            if hmac.compare_digest(shown, hashlib.sha256(wanted).digest()):
                found = source
        return found

    def _by_bearer(self, request: web.Request) -> Principal | AccessRefusal | None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not self._tokens:
            return None
        found = self._try(request, "bearer", token)
        if isinstance(found, AccessRefusal) or found is None:
            return found
        # by OpenID Connect people have names: what comes with a token is then no person's
        return Principal(self._tokens[found][0], f"token to {found}" if self.has_oidc else None)

    def _try(self, request: web.Request, by: str, token: str) -> str | AccessRefusal | None:
        """Whose token was shown; None: nobody's, which counts."""
        if (refusal := self.too_many(request, by)) is not None:
            return refusal
        found = self._source_of(token.strip().encode(errors="replace"))
        if found is None:
            self.failed(request, by)
        else:
            self.failed_logins.succeeded(address_of(request.remote), self._clock())
        return found

    def too_many(self, request: web.Request, by: str) -> AccessRefusal | None:
        """Why this client may not even try now."""
        wait_s = math.ceil(self.failed_logins.wait_s(address_of(request.remote), self._clock()))
        if wait_s <= 0:
            return None
        self.metrics.throttled(by)
        return AccessRefusal(
            429,
            "Too many failed logins",
            f"Try again in {wait_s} seconds. Existing sessions are not affected.",
            wait_s=wait_s,
        )

    def failed(self, request: web.Request, by: str) -> None:
        """Count a login that proved nothing."""
        self.metrics.failed(by)
        self.failed_logins.failed(address_of(request.remote), self._clock())

    def enter(self, request: web.Request, token: str, name: str) -> str | AccessRefusal | None:
        """A session cookie in return for a token; None if it is not one of ours."""
        found = self._try(request, "form", token)
        if found is None or isinstance(found, AccessRefusal):
            return found
        called = " ".join(name.encode(errors="replace").decode().split())[:NAME_CHARACTERS_MAX]
        return self.sessions.issue(found, int(self._tokens[found][0]), called)

    def enter_as(self, right: Permission, name: str) -> str:
        """A session's cookie for whom the provider vouches for."""
        return self.sessions.issue(OIDC, int(right), name)

    def _by_cookie(self, request: web.Request) -> Principal | None:
        cookie = request.cookies.get(COOKIE)
        if not cookie:
            return None
        found = self.sessions.read(cookie)
        if isinstance(found, str):
            if found == "forged" and self.too_many(request, "session") is None:
                self.failed(request, "session")
            return None
        # the right is that of the token as it is now; the provider's is what it said at the login
        right = Permission(found.right) if found.source == OIDC else self._tokens[found.source][0]
        return Principal(right, found.name or None, has_session=True, form_key=found.form_key, session=found)

    def has_stale_cookie(self, request: web.Request) -> bool:
        """Whether the request carries a cookie that opens nothing any more."""
        cookie = request.cookies.get(COOKIE)
        return bool(cookie) and isinstance(self.sessions.read(str(cookie)), str)

    def leave(self, visitor: Principal) -> None:
        """End a visitor's session: its cookie opens nothing any more, wherever a copy of it is."""
        if visitor.session is not None:
            self.sessions.end(visitor.session)

    # Whether a form is ours

    def is_from_elsewhere(self, request: web.Request) -> bool:
        """Whether the browser says that another site's page sent this."""
        if request.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
            return True
        origin = request.headers.get("Origin")
        return origin is not None and _netloc(origin) != request.host

    def is_our_form(self, request: web.Request, visitor: Principal, token: str) -> bool:
        """Whether a form that acts came from a page of ours, shown to this visitor."""
        if visitor.form_key is None:
            return True  # no other site can make a browser send our token in a header
        if self.is_from_elsewhere(request):
            return False
        return _same(visitor.form_token, token)


# Who decides on an application's requests
GATE: Final = web.AppKey("gate", Authenticator)


def _signed(key: bytes, said: bytes) -> str:
    return hmac.digest(key, b"stream-scorer:" + said, "sha256").hex()


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode(errors="replace"))


def _netloc(url: str) -> str | None:
    try:
        return urlsplit(url).netloc
    except ValueError:
        return None


def _host_name(host: str) -> str:
    """The name or address in a Host header, without its port."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
