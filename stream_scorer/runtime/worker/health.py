"""What a probe answers."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple


class Health(NamedTuple):
    """One probe's answer, and why, in words."""

    ok: bool
    why: str


Probe = Callable[[], Awaitable[Health]]
