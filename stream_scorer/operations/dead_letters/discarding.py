"""Letters discarded: nobody will come back to them, and the ledger says why. Law: a note is part of it."""

from collections import Counter

import msgspec

from stream_scorer.core.ledger import Act
from stream_scorer.errors import SettingsError
from stream_scorer.operations.dead_letters.access import Access
from stream_scorer.operations.dead_letters.acting import TOGETHER_MAX, Actor, Intent
from stream_scorer.operations.dead_letters.filters import WAITING, Filter
from stream_scorer.operations.dead_letters.finding import chosen, read_letters
from stream_scorer.operations.dead_letters.index import OnRead
from stream_scorer.operations.dead_letters.replaying import each_in_turn


class DiscardReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was discarded, or, of a dry run, would be."""

    dry_run: bool
    discarded: int
    already_decided: int


async def discard(
    access: Access, filter_: Filter, note: str, *, yes: bool = False, on_read: OnRead | None = None
) -> DiscardReport:
    """Discard the letters that a filter means and that wait. Without `yes` nothing is written."""
    if not note.strip():
        raise SettingsError("a discarded letter needs a note: say why")
    offsets = dict(await chosen(access, msgspec.structs.replace(filter_, states=filter_.states & WAITING), on_read))
    if not yes:
        return DiscardReport(dry_run=True, discarded=sum(map(len, offsets.values())), already_decided=0)
    counts = Counter[str]()

    async def one(partition: int) -> None:
        async with Actor(access, partition) as actor:
            async for _, letters in read_letters(access, {partition: offsets[partition]}):
                left = [
                    Intent(letter, Act.DISCARD, standing.replays, why=note)
                    for letter, standing in zip(letters, actor.standings(letters), strict=True)
                    if standing.decided is None
                ]
                counts["already_decided"] += len(letters) - len(left)
                for begin in range(0, len(left), TOGETHER_MAX):
                    part = left[begin : begin + TOGETHER_MAX]
                    await actor.commit(part)
                    counts["discarded"] += len(part)
                    offsets[partition] = offsets[partition][offsets[partition] > part[-1].letter.place.offset]

    await each_in_turn(list(offsets), one)
    return DiscardReport(dry_run=False, discarded=counts["discarded"], already_decided=counts["already_decided"])
