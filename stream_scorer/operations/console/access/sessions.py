"""Sessions of people who logged in: a signed cookie, and what was ended before its time.

Invariant: a cookie is believed for its signature, and only until its time is over or somebody logged out with it. The
keys are derived from secrets and are none of them, so that a cookie tells nothing that would open a door.
"""

import hashlib
import hmac
import logging
import secrets
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Final, Literal, NamedTuple

import msgspec
from itsdangerous import BadData, SignatureExpired, TimestampSigner, URLSafeTimedSerializer

from stream_scorer.private_files import write_private

log = logging.getLogger(__name__)

SESSION_S: Final = 12 * 3600
NAME_CHARACTERS_MAX: Final = 200
# The most sessions ended before their time that are remembered; beyond it, all sessions begun until then end
REVOKED_MAX: Final = 100_000
# What a guess at a cookie's key costs, about 50 ms and 16 MiB
_SCRYPT: Final = {"n": 1 << 14, "r": 8, "p": 1, "maxmem": 64 << 20, "dklen": 32}

Unreadable = Literal["over", "forged"]


class Session(NamedTuple):
    """What a cookie says. `source`: which key signed it; `right`: a number, `Permission` knows its meaning."""

    id: str
    source: str
    right: int
    name: str
    issued_s: int
    form_key: bytes


class RevokedSessions:
    """Sessions that ended before their time, in a file if there is one, so that they stay ended over restarts; consoles
    that share the file share what it says."""

    def __init__(self, path: Path | None, clock: Callable[[], float]) -> None:
        self._path, self._clock = path, clock
        self._ended: dict[str, int] = {}  # id → when its time would have been over
        self._all_before_s = 0
        self._read_at_ns = -1

    def add(self, session: Session) -> None:
        """End one."""
        self._read()
        now_s = int(self._clock())
        self._ended = {id_: over_s for id_, over_s in self._ended.items() if over_s >= now_s}
        if len(self._ended) >= REVOKED_MAX:
            self._ended, self._all_before_s = {}, now_s + 1
        self._ended[session.id] = session.issued_s + SESSION_S
        if self._path is None:
            return
        try:
            write_private(self._path, msgspec.json.encode((self._all_before_s, self._ended)))
        except OSError as error:
            log.warning(
                "%s can't be written (%s): this session counts as ended only until this process ends",
                self._path,
                error.strerror,
            )

    def holds(self, session: Session) -> bool:
        self._read()
        return session.id in self._ended or session.issued_s < self._all_before_s

    def _read(self) -> None:
        """What the file says, where it has changed."""
        if self._path is None:
            return
        try:
            written_at_ns = self._path.stat().st_mtime_ns
            if written_at_ns == self._read_at_ns:
                return
            before_s, ended = msgspec.json.decode(self._path.read_bytes(), type=tuple[int, dict[str, int]])
        except FileNotFoundError:
            return
        except (OSError, ValueError, RecursionError):
            # what cannot be read may have ended any session
            self._all_before_s = max(self._all_before_s, int(self._clock()))
            log.warning("%s can't be read: everybody must log in again", self._path)
            self._read_at_ns = written_at_ns
            return
        self._all_before_s = max(self._all_before_s, before_s)
        self._ended |= ended
        self._read_at_ns = written_at_ns


class Sessions:
    """Issues and reads cookies. `secrets_by_source`: what the key of each kind of session is derived from; where it
    changes, its sessions end."""

    def __init__(
        self, secrets_by_source: Mapping[str, bytes], revoked: RevokedSessions, clock: Callable[[], float]
    ) -> None:
        self._revoked = revoked
        self._keys = {source: _derived(source, secret) for source, secret in secrets_by_source.items() if secret}
        self._serializers = {source: serializer(key, "session", clock) for source, key in self._keys.items()}

    def issue(self, source: str, right: int, name: str) -> str:
        """A cookie for a user who has authenticated."""
        said = {"i": secrets.token_urlsafe(16), "r": right, "n": name[:NAME_CHARACTERS_MAX]}
        return str(self._serializers[source].dumps(said))

    def read(self, cookie: str) -> Session | Unreadable:
        """The session of a cookie; whether it is over (expired, or somebody logged out), or was never ours."""
        for source, one in self._serializers.items():
            try:
                said, issued = one.loads(cookie, max_age=SESSION_S, return_timestamp=True)
                id_, right, name = str(said["i"]), int(said["r"]), str(said["n"])
            except SignatureExpired:
                return "over"
            except (BadData, KeyError, TypeError, ValueError):
                continue
            form_key = hmac.digest(self._keys[source], b"form:" + id_.encode(), "sha256")
            session = Session(id_, source, right, name, int(issued.timestamp()), form_key)
            return "over" if self._revoked.holds(session) else session
        return "forged"

    def end(self, session: Session) -> None:
        """From now on its cookie opens nothing."""
        self._revoked.add(session)


@lru_cache(maxsize=16)
def _derived(source: str, secret: bytes) -> bytes:
    return hashlib.scrypt(secret, salt=b"stream-scorer session " + source.encode(), **_SCRYPT)


def serializer(key: bytes, purpose: str, clock: Callable[[], float]) -> URLSafeTimedSerializer:
    """Signs values for one purpose, with the time of the clock."""

    class Signer(TimestampSigner):
        def get_timestamp(self) -> int:
            return int(clock())

    kwargs = {"key_derivation": "hmac", "digest_method": hashlib.sha256}
    return URLSafeTimedSerializer(key, salt=f"stream-scorer {purpose}", signer=Signer, signer_kwargs=kwargs)
