"""Tokens: who may send."""

from pathlib import Path

import pytest

from stream_scorer.errors import SettingsError
from stream_scorer.gateway.bearer_auth import Tokens, read_tokens

EAST, WEST = "east-token-0123456789", "west-token-0123456789"


def test_a_token_names_its_client() -> None:
    tokens = Tokens({"east": EAST, "west": WEST})
    assert tokens.client_of(f"Bearer {WEST}") == "west"
    assert tokens.client_of(f"bearer  {EAST}") == "east"
    for wrong in ("", "Bearer", f"Basic {EAST}", f"Bearer {EAST}x", "Bearer \udcff", EAST):
        assert tokens.client_of(wrong) is None


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('east = "short"', "at least 16 characters"),
        ("east = 12345678901234567", "at least 16 characters"),
        ('east = "abababababababab"', "too easy to guess"),
        ('east = "password01234567"', "too easy to guess"),
        (f'east = "{EAST}"\nwest = "{EAST}"', "the same token"),
        (f'"e st" = "{EAST}"', "not a client name"),
        ('east = "ünïcode-token-0123456789"', "a header can't carry"),
        ("", "names no client"),
        (f"east = {EAST}", "is not TOML"),
    ],
)
def test_a_file_that_can_not_be_used_is_refused_without_its_tokens(tmp_path: Path, text: str, fault: str) -> None:
    file = tmp_path / "tokens.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError, match=fault) as raised:
        read_tokens(str(file))
    assert "token-0123456789" not in str(raised.value)


def test_a_file_that_is_not_there_is_refused() -> None:
    with pytest.raises(SettingsError, match="can't be read"):
        read_tokens("/nowhere/tokens.toml")
