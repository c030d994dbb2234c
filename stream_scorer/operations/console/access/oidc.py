"""People's own accounts by OpenID Connect: the authorization code flow with PKCE.

Invariant: nobody is anybody but by an ID token that the provider has signed, for us, for this very login, and that is
not over. What the provider says beside it is believed only of the same subject, over TLS.
"""

import asyncio
import hashlib
import hmac
import secrets
import ssl
import time
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlencode

import aiohttp
import jwt
import msgspec
from itsdangerous import BadData

from stream_scorer.errors import OutageError, SettingsError
from stream_scorer.operations.console.access.sessions import serializer
from stream_scorer.runtime.settings.settings import OidcSettings

CALLBACK: Final = "/login/callback"
# From the provider's page back to ours
LOGIN_S: Final = 600
ANSWER_S_MAX: Final = 10.0
ANSWER_BYTES_MAX: Final = 1 << 20
CONFIGURATION_S: Final = 3_600.0
# An ID token with a key that we don't know makes us ask for the keys again, but no more often
KEYS_AGAIN_S: Final = 10.0
LEEWAY_S: Final = 60
# Signatures that can be checked with a public key; none with a shared one, and never `none`
ALGORITHMS: Final = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA"),
)


class Configuration(msgspec.Struct, frozen=True):
    """What the provider says of itself."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None = None
    end_session_endpoint: str | None = None
    id_token_signing_alg_values_supported: tuple[str, ...] = ("RS256",)
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)
    authorization_response_iss_parameter_supported: bool = False


class _Tokens(msgspec.Struct, frozen=True):
    id_token: str
    access_token: str = ""


class Person(NamedTuple):
    """Whom the provider vouches for, as the ledger names them, and the groups that it says they are in."""

    name: str
    groups: frozenset[str]


class Beginning(NamedTuple):
    """A login that has begun: where the browser goes, and what it keeps until it comes back."""

    url: str
    cookie: str


class LoginRefusedError(Exception):
    """The answer proves nothing. Says why, in words for a person that quote no token."""


class OidcClient:
    """Talks to one provider. `clock`: seconds since 1970."""

    def __init__(self, settings: OidcSettings, clock: Callable[[], float] = time.time) -> None:
        self._settings, self._clock = settings, clock
        self._pending = serializer(hashlib.sha256(settings.client_secret.encode()).digest(), "login", clock)
        self._configuration: tuple[float, Configuration] | None = None
        self._keys: dict[str | None, jwt.PyJWK] = {}
        self._keys_at_s = float("-inf")
        self._turn = asyncio.Lock()

    @property
    def redirect_uri(self) -> str:
        return self._settings.public_url.rstrip("/") + CALLBACK

    async def begin(self, target: str) -> Beginning:
        """Send a browser to the provider; `target`: the page that it wants afterwards. Raises OutageError."""
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        challenge = urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        query = {
            "response_type": "code",
            "client_id": self._settings.client_id,
            "redirect_uri": self.redirect_uri,
            "scope": " ".join(self._settings.scopes),
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        url = (await self._provider()).authorization_endpoint
        cookie = str(self._pending.dumps({"s": state, "n": nonce, "v": verifier, "t": target}))
        return Beginning(f"{url}{'&' if '?' in url else '?'}{urlencode(query)}", cookie)

    async def finish(self, cookie: str, answer: Mapping[str, str]) -> tuple[Person, str]:
        """Who came back from the provider, and the page that they wanted. `answer`: the query of the address that they
        came back to. Raises LoginRefusedError, OutageError."""
        try:
            begun = self._pending.loads(cookie, max_age=LOGIN_S)
            state, nonce, verifier, target = (str(begun[name]) for name in ("s", "n", "v", "t"))
        except (BadData, KeyError, TypeError):
            raise LoginRefusedError("This login was started in another browser, or too long ago.") from None
        if not hmac.compare_digest(state.encode(), answer.get("state", "").encode(errors="replace")):
            raise LoginRefusedError("The answer belongs to a login that was not started in this browser.")
        provider = await self._provider()
        said_issuer = answer.get("iss")
        if said_issuer != provider.issuer and (
            said_issuer is not None or provider.authorization_response_iss_parameter_supported
        ):
            raise LoginRefusedError("The answer comes from another provider.")
        if "error" in answer or not answer.get("code"):
            raise LoginRefusedError("The provider refused the login.")
        tokens = await self._tokens(provider, answer["code"], verifier)
        claims = await self._verified(provider, tokens.id_token, nonce)
        if self._is_missing(claims) and provider.userinfo_endpoint and tokens.access_token:
            claims = await self._userinfo(provider.userinfo_endpoint, tokens.access_token, claims)
        return self._person(claims), target

    def logout_url(self) -> str | None:
        """Where people also end their session at the provider, where it has such a page."""
        if self._configuration is None or not (url := self._configuration[1].end_session_endpoint):
            return None
        back = self._settings.public_url.rstrip("/") + "/login"
        query = urlencode({"client_id": self._settings.client_id, "post_logout_redirect_uri": back})
        return f"{url}{'&' if '?' in url else '?'}{query}"

    # What the provider says

    async def _provider(self) -> Configuration:
        async with self._turn:
            known = self._configuration
            if known is not None and self._clock() - known[0] < CONFIGURATION_S:
                return known[1]
            issuer = self._settings.issuer
            url = f"{issuer.rstrip('/')}/.well-known/openid-configuration"
            found = msgspec.convert(await self._get(url), Configuration)
            if found.issuer != issuer:
                raise SettingsError(
                    f"oidc.issuer: the provider at {issuer} calls itself {found.issuer[:200]!r}: set that"
                )
            self._configuration = self._clock(), found
            return found

    async def _tokens(self, provider: Configuration, code: str, verifier: str) -> _Tokens:
        settings = self._settings
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.redirect_uri,
            "code_verifier": verifier,
        }
        headers = {}
        if "client_secret_basic" in provider.token_endpoint_auth_methods_supported:
            # both form-encoded first, as RFC 6749 (2.3.1) says
            pair = f"{quote(settings.client_id, safe='')}:{quote(settings.client_secret, safe='')}"
            headers["Authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
        else:
            form |= {"client_id": settings.client_id, "client_secret": settings.client_secret}
        try:
            return msgspec.convert(await self._post(provider.token_endpoint, form, headers), _Tokens)
        except msgspec.ValidationError:
            raise LoginRefusedError("The provider gave no ID token.") from None

    async def _verified(self, provider: Configuration, id_token: str, nonce: str) -> dict[str, Any]:
        """The claims of an ID token that holds."""
        allowed = [name for name in provider.id_token_signing_alg_values_supported if name in ALGORITHMS]
        try:
            header = jwt.get_unverified_header(id_token)
            key = await self._key(provider, header.get("kid"))
            claims: dict[str, Any] = jwt.decode(
                id_token,
                key,
                algorithms=allowed,
                audience=self._settings.client_id,
                issuer=provider.issuer,
                leeway=LEEWAY_S,
                options={"require": ["exp", "iat", "iss", "aud", "sub", "nonce"]},
            )
        except jwt.PyJWTError as error:
            raise LoginRefusedError(f"The provider's ID token is not valid ({type(error).__name__}).") from None
        if not hmac.compare_digest(nonce.encode(), str(claims["nonce"]).encode()):
            raise LoginRefusedError("The provider's ID token belongs to another login.")
        if claims.get("azp", self._settings.client_id) != self._settings.client_id:
            raise LoginRefusedError("The provider's ID token was issued for another client.")
        return claims

    async def _key(self, provider: Configuration, kid: str | None) -> jwt.PyJWK:
        """The provider's key of that name, fetched again if it is not known: providers rotate keys."""
        async with self._turn:
            now_s = self._clock()
            if kid not in self._keys and now_s - self._keys_at_s >= KEYS_AGAIN_S:
                self._keys_at_s = now_s
                listed = (await self._get(provider.jwks_uri)).get("keys")
                self._keys = {}
                for one in listed if isinstance(listed, list) else ():
                    try:
                        if one.get("use", "sig") == "sig":
                            self._keys[one.get("kid")] = jwt.PyJWK(one)
                    except (jwt.PyJWTError, AttributeError, TypeError):
                        continue  # a kind of key that we don't know signs nothing for us
            if kid not in self._keys:
                raise LoginRefusedError("The provider's ID token is signed with a key that the provider does not list.")
            return self._keys[kid]

    async def _userinfo(self, url: str, access_token: str, claims: Mapping[str, Any]) -> dict[str, Any]:
        said = await self._get(url, {"Authorization": f"Bearer {access_token}"})
        if said.get("sub") != claims["sub"]:
            raise LoginRefusedError("The provider's user info is of another person than its ID token.")
        # what is signed counts more
        return {**said, **claims}

    def _is_missing(self, claims: Mapping[str, Any]) -> bool:
        return self._settings.identity_claim not in claims or _at(claims, self._settings.roles_claim) is None

    def _person(self, claims: Mapping[str, Any]) -> Person:
        named = self._settings.identity_claim
        name = claims.get(named)
        if not isinstance(name, str) or not name.strip() or not name.isprintable():
            raise LoginRefusedError(f"The provider's answer does not name you: it has no claim {named!r}.")
        if named == "email" and claims.get("email_verified") is not True:
            raise LoginRefusedError("The provider has not verified your e-mail address.")
        groups = _at(claims, self._settings.roles_claim)
        listed = [groups] if isinstance(groups, str) else groups if isinstance(groups, list) else []
        return Person(name.strip(), frozenset(each for each in listed if isinstance(each, str)))

    # The way there

    async def _get(self, url: str, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
        return await self._ask("GET", url, headers=headers)

    async def _post(self, url: str, form: Mapping[str, str], headers: Mapping[str, str]) -> dict[str, Any]:
        return await self._ask("POST", url, headers=headers, data=form)

    async def _ask(self, method: str, url: str, **options: Any) -> dict[str, Any]:
        """A JSON object. Raises OutageError where there is none, LoginRefusedError where we are refused."""
        try:
            context = ssl.create_default_context(cafile=self._settings.ca_file or None)
            timeout = aiohttp.ClientTimeout(total=ANSWER_S_MAX)
            async with (
                aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context), timeout=timeout) as session,
                session.request(method, url, allow_redirects=False, **options) as answer,
            ):
                content = await answer.content.read(ANSWER_BYTES_MAX)
                while not answer.content.at_eof() and len(content) < ANSWER_BYTES_MAX:
                    content += await answer.content.read(ANSWER_BYTES_MAX - len(content))
                if 400 <= answer.status < 500:
                    raise LoginRefusedError(f"The provider refused the request with status {answer.status}.")
                if answer.status != 200:
                    raise OutageError(f"The OpenID provider answered with status {answer.status}. Try again.")
                return msgspec.json.decode(content, type=dict[str, Any])
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError, RecursionError) as error:
            raise OutageError(
                f"The OpenID provider {self._settings.issuer} can't be reached ({type(error).__name__}). Try again."
            ) from error


def _at(claims: Mapping[str, Any], path: str) -> object:
    """The claim of that name; where there is none, dots lead into objects (`realm_access.roles`)."""
    if path in claims:
        return claims[path]
    found: object = claims
    for name in path.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found
