"""Letters discarded: nobody will come back to them, and the ledger says why.

Invariant: a note is part of it.
"""

from collections import Counter

import msgspec

from stream_scorer.core.records.audit_log import Action
from stream_scorer.errors import SettingsError
from stream_scorer.operations.dead_letters.context import Context
from stream_scorer.operations.dead_letters.query.filters import WAITING, Filter
from stream_scorer.operations.dead_letters.query.search import matching_offsets
from stream_scorer.operations.dead_letters.replay.action_transaction import ActionTransaction, PlannedAction
from stream_scorer.operations.dead_letters.replay.retry_when_fenced import Letters, apply_in_chunks
from stream_scorer.operations.reading.topic_reader import OnRead


class DiscardReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was discarded, or, of a dry run, would be."""

    dry_run: bool
    discarded: int
    already_decided: int


async def discard(
    access: Context, filter_: Filter, note: str, *, yes: bool = False, on_read: OnRead | None = None
) -> DiscardReport:
    """Discard the letters that a filter means and that wait. Without `yes` nothing is written."""
    if not note.strip():
        raise SettingsError("a discarded dead letter needs a note that says why")
    offsets = await matching_offsets(access, msgspec.structs.replace(filter_, states=filter_.states & WAITING), on_read)
    if not yes:
        return DiscardReport(dry_run=True, discarded=sum(map(len, offsets.values())), already_decided=0)
    counts = Counter[str]()

    async def settle(actor: ActionTransaction, letters: Letters) -> None:
        left = [
            PlannedAction(letter, Action.DISCARD, standing.replays, why=note)
            for letter, standing in zip(letters, actor.standings(letters), strict=True)
            if standing.decided is None
        ]
        if left:
            await actor.commit(left)
        counts.update(discarded=len(left), already_decided=len(letters) - len(left))

    await apply_in_chunks(access, offsets, settle)
    return DiscardReport(dry_run=False, discarded=counts["discarded"], already_decided=counts["already_decided"])
