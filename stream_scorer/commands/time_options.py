"""Times as people give them to commands."""

from stream_scorer.core.records.timestamps import milliseconds
from stream_scorer.errors import SettingsError


def milliseconds_of(option: str, given: str, or_else: str = "") -> int:
    """An RFC 3339 time as milliseconds since 1970. Raises SettingsError, which names the option, for anything else."""
    try:
        return milliseconds(given)
    except ValueError:
        raise SettingsError(f"{option} {given}: not a time with its zone. Say 2026-11-22T08:00:00Z{or_else}") from None
