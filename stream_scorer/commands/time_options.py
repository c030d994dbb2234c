"""Times as people give them to commands."""

from datetime import datetime

from stream_scorer.errors import SettingsError


def milliseconds_of(option: str, given: str, or_else: str = "") -> int:
    """An RFC 3339 time as milliseconds since 1970. Raises SettingsError, which names the option, for anything else."""
    try:
        moment = datetime.fromisoformat(given)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise SettingsError(f"{option} {given}: not a time with its zone. Say 2026-11-22T08:00:00Z{or_else}")
    return int(moment.timestamp() * 1000)
