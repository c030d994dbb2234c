"""The exceptions that people may see, as one tree; each message says what is wrong and what to do.

UserError (exit status in brackets)
├── SettingsError [2]      settings or options that can't be used
│   └── InputFileError [2] a file of rows that can't be read by its rules; names the line
├── ModelError [1]         a model that can't be loaded, trained or trusted
├── RolloutError [3]       which models should serve can't be known here, or the champion can't be loaded
├── BrokerError [1]        the local broker can't be started or stopped
├── TopicsError [1]        the cluster's topics are not what `topics/topics.toml` says
├── OffsetsError [1]       where a lane reads on can't be known, or Kafka contradicts it
├── GroupError [1]         the workers' consumer group has members that keep it from working
├── StateError [1]         the local state is in use by another process, or can't be read or written
├── NotFoundError [1]      what was asked for by its position is not there, or not there any more
├── LimitError [75]        this process or machine has run out of something: file descriptors
├── OutageError [75]       Kafka is away or too slow; a supervisor starts the process again
├── StateLookupError [75]  what is known of an id can't be said now: its lane moves, or its worker is away
├── OvertakenError [4]     another operator's act on the models came first; nothing was changed
├── RefusedError [1]       Kafka answers and rejects the request: a record too large, a request it does not know
└── FencedError [1]        another worker has taken over what this one owned

A bad record is never an exception: it is a value (`core.reasons.Reason`).
"""

import ssl


class UserError(Exception):
    """An error whose message is meant for people. Raised anywhere, shown once, at the command line."""

    exit_status = 1


class SettingsError(UserError):
    """Settings or options that can't be used; the message lists every problem."""

    exit_status = 2


class InputFileError(SettingsError):
    """A file of rows that can't be read by its rules; the message names the file and, where there is one, the line."""


class ModelError(UserError):
    """A model that can't be loaded, trained or trusted."""


class RolloutError(UserError):
    """Which models should serve can't be known here, or the one that should predict can't be loaded. Starting again
    changes nothing until somebody deploys or rolls back."""

    exit_status = 3


class BrokerError(UserError):
    """The local broker can't be started or stopped."""


class TopicsError(UserError):
    """The cluster's topics are not what they must be."""


class OffsetsError(UserError):
    """Where a lane reads on can't be known, or Kafka contradicts it. `cause`: what the metric of refusals calls it."""

    def __init__(self, message: str, cause: str) -> None:
        super().__init__(message)
        self.cause = cause


class GroupError(UserError):
    """The workers' consumer group has members that keep it from working; the message names them."""


class StateError(UserError):
    """The local state is in use by another process, or can't be read or written."""


class NotFoundError(UserError):
    """Something that was asked for by its place is not there, or not there any more."""


class StateLookupError(UserError):
    """What is known of an id can't be said now: its lane moves or restores, or its worker is away."""

    exit_status = 75


class LimitError(UserError):
    """This process or this machine has run out of something that others may give back."""

    exit_status = 75


class OutageError(UserError):
    """Kafka is away, or too slow for longer than its own timeouts allow."""

    exit_status = 75


class RefusedError(UserError):
    """Kafka is there and says no to something that asking again would not change."""


class OvertakenError(UserError):
    """An act on the models was based on a state that another act has changed meanwhile; it does not count."""

    exit_status = 4


class FencedError(UserError):
    """Another worker owns what this one thought it owned; its transactions were refused."""


def system_words(error: BaseException) -> str:
    """What the system calls a fault (`permission denied`), without numbers and paths; the kind of any other error."""
    if isinstance(error, ssl.SSLError):
        return (error.reason or "not what TLS expects").replace("_", " ").lower()
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    if isinstance(error, UnicodeDecodeError):
        return f"byte {error.start} is no text in UTF-8"
    return type(error).__name__
