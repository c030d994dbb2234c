"""How an error ends a command: one line for people, one exit status for scripts."""

import sys

from stream_scorer.errors import UserError
from stream_scorer.runtime.kafka.descriptors import no_descriptors_left, out_of_descriptors


def exit_with_message(error: Exception) -> int:
    """Print a known error as one line on standard error and give its exit status; raise any other on, it is our own
    fault."""
    if not isinstance(error, UserError) and out_of_descriptors(error):
        error = no_descriptors_left()
    if isinstance(error, UserError):
        print(f"stream-scorer: {error}", file=sys.stderr)
        return error.exit_status
    raise error
