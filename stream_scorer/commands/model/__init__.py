"""The `model` commands: list, show, verify, recalibrate, deploy, share, promote, rollback, withdraw, stop, status."""

from stream_scorer.commands.model.commands import register

__all__ = ["register"]
