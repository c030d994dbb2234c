"""Which tokens are too easy to guess."""

import secrets
from collections.abc import Callable

import pytest

from stream_scorer.errors import SettingsError
from stream_scorer.runtime.settings.settings import load_settings
from stream_scorer.runtime.settings.strength import CHARACTERS_MIN, weakness


@pytest.mark.parametrize(
    "token",
    [
        pytest.param("x", id="one letter"),
        pytest.param("2f9c7be1d0a3b4c", id="one character too few"),
        pytest.param("a" * 40, id="one character"),
        pytest.param("abababababababababab", id="two characters"),
        pytest.param("2f9c7be1" * 4, id="a piece repeated"),
        pytest.param("1234567890123456789", id="counting"),
        pytest.param("abcdefghijklmnopqrst", id="the alphabet"),
        pytest.param("qwertyuiopasdfghjkl", id="a keyboard"),
        pytest.param("changeme-changeme-1", id="what tutorials say"),
        pytest.param("password1password2", id="the word itself"),
    ],
)
@pytest.mark.parametrize("name", ["view_token", "act_token", "deploy_token"])
def test_a_token_that_can_be_guessed_is_refused_without_being_quoted(token: str, name: str) -> None:
    with pytest.raises(SettingsError, match=rf"http\.{name}: too easy to guess") as refused:
        load_settings(None, {f"STREAM_SCORER_HTTP_{name.upper()}": token})
    assert "openssl rand -hex 24" in str(refused.value)
    assert len(token) < 2 or token not in str(refused.value)


@pytest.mark.parametrize("make", [secrets.token_hex, secrets.token_urlsafe])
def test_random_tokens_are_never_refused(make: Callable[[int], str]) -> None:
    assert not any(weakness(make(12)) for _ in range(2_000))
    assert len(make(12)) >= CHARACTERS_MIN
