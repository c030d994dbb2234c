"""A worker that sends itself a signal at a chosen moment of a transaction: `python -m` this module in place of
`stream_scorer`.

Invariant: up to that moment it is the product, and nothing of it knows of this.
"""

import os
import signal

from stream_scorer.commands.main import run
from stream_scorer.runtime.publishing import committer
from stream_scorer.runtime.publishing.producer_identity import ProducerIdentity
from stream_scorer.runtime.publishing.transaction import Transaction
from stream_scorer.runtime.publishing.transaction_writer import TransactionWriter

# What the tests choose by: after which step, in which transaction that writes records, and which signal
STEP, NUMBER, SIGNAL = "INTERRUPT_AFTER", "INTERRUPT_TRANSACTION", "INTERRUPT_SIGNAL"


class InterruptedWriter(TransactionWriter):
    """Stops this process, or ends it, behind one step."""

    _transactions = 0
    _was_interrupted = False

    async def write_records(self, transaction: Transaction) -> None:
        await super().write_records(transaction)
        type(self)._transactions += bool(transaction.partitions)
        self._interrupt_after("records")

    async def write_offsets(self, transaction: Transaction) -> None:
        await super().write_offsets(transaction)
        self._interrupt_after("offsets")

    async def end(self, producer: ProducerIdentity, *, commit: bool) -> None:
        await super().end(producer, commit=commit)
        if commit:
            self._interrupt_after("end")

    def _interrupt_after(self, step: str) -> None:
        chosen = os.environ[STEP] == step and type(self)._transactions >= int(os.environ[NUMBER])
        if chosen and not type(self)._was_interrupted:
            type(self)._was_interrupted = True
            os.kill(os.getpid(), signal.Signals[os.environ[SIGNAL]])


if __name__ == "__main__":
    committer.TransactionWriter = InterruptedWriter  # type: ignore[attr-defined]
    run()
