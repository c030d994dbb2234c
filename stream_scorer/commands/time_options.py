"""Times as people give them to commands."""

from datetime import datetime
from typing import TYPE_CHECKING

from stream_scorer.errors import SettingsError

if TYPE_CHECKING:
    from stream_scorer.operations.audit.evidence import At


def milliseconds_of(option: str, given: str, or_else: str = "") -> int:
    """An RFC 3339 time as milliseconds since 1970. Raises SettingsError, which names the option, for anything else."""
    try:
        moment = datetime.fromisoformat(given)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise SettingsError(f"{option} {given}: not a time with its zone. Say 2026-11-22T08:00:00Z{or_else}")
    return int(moment.timestamp() * 1000)


def at_of(option: str, given: str | None) -> "At":
    """An offset or a time, as it was given. Raises SettingsError for what is neither."""
    from stream_scorer.operations.audit.evidence import At

    if given is None:
        return At()
    if given.isdecimal() and given.isascii():
        return At(offset=int(given))
    return At(time_ms=milliseconds_of(option, given, or_else=", or an offset"))
