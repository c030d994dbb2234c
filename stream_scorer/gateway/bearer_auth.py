"""Who may send: bearer tokens from a file, each with the name of its client.

Invariant: no token is ever logged or shown; comparing one takes as long whoever's it is.
"""

import hmac
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from stream_scorer.errors import SettingsError, system_words
from stream_scorer.runtime.settings.strength import ADVICE, CHARACTERS_MIN, weakness

CLIENT_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,100}")


class Tokens:
    """The clients and their tokens; without any everybody may send."""

    def __init__(self, tokens: Mapping[str, str]) -> None:
        self._tokens = {client: token.encode() for client, token in tokens.items()}

    def __bool__(self) -> bool:
        return bool(self._tokens)

    def client_of(self, authorization: str) -> str | None:
        """The client whose token an `Authorization` header carries."""
        scheme, _, token = authorization.partition(" ")
        shown = token.strip().encode("utf-8", "surrogateescape")
        if scheme.lower() != "bearer":
            return None
        matching = [client for client, known in self._tokens.items() if hmac.compare_digest(known, shown)]
        return matching[0] if matching else None


def read_tokens(file: str) -> Tokens:
    """The tokens of a TOML file, `client = "token"`; of no file, none. Raises SettingsError with every problem."""
    if not file:
        return Tokens({})
    try:
        tokens = tomllib.loads(Path(file).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"gateway.tokens_file: {file} can't be read: {system_words(error)}") from error
    except tomllib.TOMLDecodeError:
        # the fault itself may quote a token
        raise SettingsError(f'gateway.tokens_file: {file} is not TOML of lines such as east = "token"') from None
    problems = [] if tokens else [f"{file} names no client"]
    for client, token in tokens.items():
        if not CLIENT_NAME.fullmatch(client):
            problems.append(f"{client!r} is not a client name: letters, digits, `.`, `_`, `-`, at most 100")
        if not isinstance(token, str) or len(token) < CHARACTERS_MIN:
            problems.append(f"the token of {client!r} is not a text of at least {CHARACTERS_MIN} characters")
        elif (why := weakness(token)) is not None:
            problems.append(f"the token of {client!r} is too easy to guess: {why}; {ADVICE}")
        elif not (token.isascii() and token.isprintable() and " " not in token):
            problems.append(f"the token of {client!r} holds characters that a header can't carry")
    texts = [token for token in tokens.values() if isinstance(token, str)]
    if len(set(texts)) < len(texts):
        problems.append("two clients have the same token")
    if problems:
        raise SettingsError("gateway.tokens_file: " + "; ".join(problems))
    return Tokens(tokens)
