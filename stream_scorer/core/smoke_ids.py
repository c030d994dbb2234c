"""The ids of smoke tests' events. Law: an id is one of these only if we made it, so that no producer's id looks so by
chance."""

import re
from typing import Final

ID_PREFIX: Final = "smoke-"

_is_smoke_id: Final = re.compile(rb"smoke-[0-9a-f]{32}").fullmatch


def smoke_id(number: int) -> str:
    """The id made of a number of 128 bits (a random UUID's)."""
    return f"{ID_PREFIX}{number:032x}"


def is_smoke_id(id_: bytes) -> bool:
    """Whether an event with this id came from a smoke test: scored as any other, counted in no figure of quality."""
    return _is_smoke_id(id_) is not None
