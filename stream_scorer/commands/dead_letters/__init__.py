"""The `dead-letters` commands: list, show, check, replay, discard, history, producers."""

from stream_scorer.commands.dead_letters.commands import register

__all__ = ["register"]
