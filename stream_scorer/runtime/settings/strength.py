"""Whether a token is hard to guess.

Invariant: what is said of a token tells nothing of it but why it is too weak.
"""

from itertools import pairwise
from typing import Final

CHARACTERS_MIN: Final = 16
DISTINCT_MIN: Final = 6
ADVICE: Final = "make one with `openssl rand -hex 24`"
# What fingers and tutorials write without thinking
_RUNS: Final = ("abcdefghijklmnopqrstuvwxyz", "01234567890", "qwertyuiopasdfghjklzxcvbnm", "qwertzuiopasdfghjklyxcvbnm")
_WORDS: Final = ("password", "passwort", "changeme", "change-me", "letmein", "default", "example", "secret")
_NEIGHBOURS: Final = frozenset(
    pair for run in _RUNS for one, other in pairwise(run) for pair in (one + other, other + one)
)


def weakness(token: str) -> str | None:
    """Why a token is too easy to guess; None where it is not."""
    if len(token) < CHARACTERS_MIN:
        return f"it has fewer than {CHARACTERS_MIN} characters"
    if len(set(token)) < DISTINCT_MIN:
        return f"it has fewer than {DISTINCT_MIN} different characters"
    if token in (token + token)[1:-1]:
        return "it is one piece, repeated"
    lower = token.lower()
    pairs = [one + other for one, other in pairwise(lower)]
    if sum(pair in _NEIGHBOURS or pair[0] == pair[1] for pair in pairs) > 0.7 * len(pairs):
        return "most of it is a sequence of neighbouring letters or digits"
    rest = lower
    for word in _WORDS:
        rest = rest.replace(word, "")
    if len(rest) < CHARACTERS_MIN - 4 and len(rest) < len(lower):
        return "most of it is a very common password"
    return None
