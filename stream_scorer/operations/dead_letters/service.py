"""The office: all that people can do with the dead letters of one environment, behind one door for command and page.

Invariant: nothing outside of this package writes to the ledger or replays a letter, and everybody who does gives a
name.
"""

import asyncio
import getpass
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace as replaced

import msgspec

from stream_scorer.core.contract.reasons import Reason
from stream_scorer.core.dead_letters.highlighting import Segment, highlights, segments
from stream_scorer.core.dead_letters.redaction import masked_spans
from stream_scorer.core.dead_letters.repair import NO_FIX, Fix
from stream_scorer.core.records.dead_letter_reader import DeadLetter, Position, UnreadableDeadLetter
from stream_scorer.errors import NotFoundError
from stream_scorer.operations.dead_letters.context import Context
from stream_scorer.operations.dead_letters.index.index import Index
from stream_scorer.operations.dead_letters.index.parallel_read import Spans, read_on_together
from stream_scorer.operations.dead_letters.query import aggregation, lineage, view
from stream_scorer.operations.dead_letters.query.aggregation import ProducerCount, ReasonGroup
from stream_scorer.operations.dead_letters.query.filters import EVERY_STATE, Filter, State
from stream_scorer.operations.dead_letters.query.lineage import History
from stream_scorer.operations.dead_letters.query.search import (
    DeadLetterRow,
    Offsets,
    matching_chunks,
    matching_offsets,
    newest,
    one_letter,
    read_letters,
)
from stream_scorer.operations.dead_letters.query.view import DeadLetterView
from stream_scorer.operations.dead_letters.replay import discard, dry_run, replay
from stream_scorer.operations.dead_letters.replay.action_transaction import note_check, note_reveal
from stream_scorer.operations.dead_letters.replay.discard import DiscardReport
from stream_scorer.operations.dead_letters.replay.dry_run import CheckReport, CheckResult
from stream_scorer.operations.dead_letters.replay.replay import ReplayReport
from stream_scorer.operations.dead_letters.replay.retry_when_fenced import OnProgress
from stream_scorer.operations.reading.topic_reader import OnRead, Reader
from stream_scorer.runtime.cluster.topic_admin import TopicNames
from stream_scorer.runtime.kafka.client import client_options
from stream_scorer.runtime.settings.settings import Settings

ALL_WAITING = Filter()
# Letters named by their places that get an entry each in the ledger when somebody asks about them
NAMED_MAX = 100


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """One letter as a fix would make it, and what the contract says of that."""

    place: Position
    verdict: CheckResult
    changed: bool
    reasons: list[Reason]
    pieces: list[Segment]
    why: str = ""


class DeadLetterService:
    """Safe for many tasks of one event loop: short looks take turns, whatever reads many letters has a connection of
    its own, and what takes computing runs in threads, so that the loop goes on answering."""

    def __init__(self, access: Context, turn: asyncio.Lock | None = None) -> None:
        self._access = access
        self._turn = turn or asyncio.Lock()

    def acting_as(self, who: str) -> "DeadLetterService":
        """The same office for another operator."""
        return DeadLetterService(replaced(self._access, who=who), self._turn)

    @property
    def who(self) -> str:
        """Who acts, as the ledger says it."""
        return self._access.who

    async def refresh(self, on_read: OnRead | None = None) -> None:
        """Read on what the topics have got since."""
        access = self._access

        async def together(index: Index, spans: Spans, on_read: OnRead | None) -> None:
            await read_on_together(access.settings.kafka, index, access.reader, spans, on_read)

        async with self._turn:
            await access.index.refresh(access.reader, on_read, together=together)

    # Looks

    async def groups(self, filter_: Filter = ALL_WAITING, on_read: OnRead | None = None) -> list[ReasonGroup]:
        """By code and field, the largest first."""
        await self._note_search(filter_)
        async with self._looking(filter_) as access:
            chunks = [chunk async for chunk in matching_chunks(access, filter_, on_read)]
            return await asyncio.to_thread(aggregation.group_by_reason, chunks)

    async def producers(self, filter_: Filter = ALL_WAITING, on_read: OnRead | None = None) -> list[ProducerCount]:
        """By who says to have sent them, the most first."""
        await self._note_search(filter_)
        async with self._looking(filter_) as access:
            chunks = [chunk async for chunk in matching_chunks(access, filter_, on_read)]
            return await asyncio.to_thread(aggregation.count_producers, chunks)

    async def states(self, filter_: Filter = ALL_WAITING) -> dict[State, int]:
        """How many letters are open, parked, replayed and discarded, whatever states the filter names."""
        everything = msgspec.structs.replace(filter_, states=EVERY_STATE)
        async with self._looking(everything) as access:
            chunks = [chunk async for chunk in matching_chunks(access, everything)]
            return await asyncio.to_thread(aggregation.count_states, chunks)

    async def count(self, filter_: Filter = ALL_WAITING) -> int:
        """How many letters a filter means."""
        async with self._looking(filter_) as access:
            return sum(map(len, (await matching_offsets(access, filter_)).values()))

    async def over_time(
        self, filter_: Filter, *, since_ms: int, until_ms: int, buckets: int = 60
    ) -> list[tuple[int, dict[str, int]]]:
        """Letters by their first code in equal spans of time, each with its begin in ms since 1970."""
        async with self._looking(filter_) as access:
            chunks = [chunk async for chunk in matching_chunks(access, filter_)]
            return await asyncio.to_thread(aggregation.count_over_time, chunks, since_ms, until_ms, buckets)

    async def find(
        self,
        filter_: Filter = ALL_WAITING,
        limit: int = 50,
        before: Position | None = None,
        on_read: OnRead | None = None,
    ) -> list[DeadLetterRow]:
        """Letters one by one, the last failure first; with `before`, those behind that one."""
        await self._note_search(filter_)
        async with self._looking(filter_) as access:
            return await newest(access, filter_, limit, before, on_read)

    async def _note_search(self, filter_: Filter) -> None:
        """Where a text is looked for in what is masked, the ledger knows who looks before there is an answer."""
        if filter_.revealed and filter_.text is not None:
            async with self._turn:
                among = msgspec.structs.replace(filter_, text=None, id=None)
                count = sum([len(chunk.rows) async for chunk in matching_chunks(self._access, among)])
            await note_check(self._access, (), count=count, filter_=filter_.in_words())

    async def letter(self, place: Position) -> DeadLetter | UnreadableDeadLetter:
        """One letter with all that it says: not for eyes that the ledger does not know of. Raises NotFoundError."""
        # a caller that stops waiting must not interrupt a read of the shared reader
        found = await asyncio.shield(self._one_letter(place))
        if found is None:
            raise NotFoundError(
                f"there is no dead letter {place}: retention has deleted it, or it never existed. "
                "`stream-scorer dead-letters list` lists the existing ones."
            )
        return found

    async def _one_letter(self, place: Position) -> DeadLetter | UnreadableDeadLetter | None:
        async with self._turn:
            is_there = self._access.index.holds(place.partition, place.offset)
            return await one_letter(self._access, place) if is_there else None

    async def show(self, place: Position) -> DeadLetterView:
        """One letter, masked."""
        return await asyncio.to_thread(view.view_of, self._access, await self.letter(place), revealed=False)

    async def reveal(self, place: Position, why: str = "") -> DeadLetterView:
        """One letter with all that it says, once the ledger knows who looks."""
        letter = await self.letter(place)
        await note_reveal(self._access, letter, why)
        return await asyncio.to_thread(view.view_of, self._access, letter, revealed=True)

    async def preview(self, place: Position, fix: Fix, *, revealed: bool = False) -> Preview:
        """The result of a fix for one dead letter that the user has revealed. Its id is not looked up: see `check`."""
        return await asyncio.to_thread(self._preview, await self.letter(place), fix, revealed=revealed)

    def _preview(self, letter: DeadLetter | UnreadableDeadLetter, fix: Fix, *, revealed: bool) -> Preview:
        judged = dry_run.assess(self._access, letter, fix)
        hidden = [] if revealed else masked_spans(judged.value, judged.letter.value)
        reasons = judged.reasons if revealed else judged.masked_reasons
        return Preview(
            place=letter.place,
            verdict=judged.verdict,
            changed=judged.changed,
            reasons=list(reasons),
            pieces=segments(judged.value, highlights(judged.value, reasons), hidden),
            why=judged.why,
        )

    async def history(self, place: Position, *, masked: bool = False) -> History:
        """One letter's life; `masked`: without what people wrote of it and what was predicted from what it says."""
        found = await asyncio.shield(self._history(await self.letter(place)))
        return lineage.masked_history(found) if masked else found

    async def _history(self, letter: DeadLetter | UnreadableDeadLetter) -> History:
        async with self._turn:
            return await lineage.history(self._access, letter)

    # Acts, and what is asked before them: they read much, so they have a connection of their own

    async def check(
        self, filter_: Filter = ALL_WAITING, fix: Fix = NO_FIX, on_read: OnRead | None = None, why: str = ""
    ) -> CheckReport:
        """What would become of letters now, once the ledger knows who asks: the answer depends on masked bytes."""
        async with self._own_reader() as access:
            offsets = await matching_offsets(access, filter_, on_read)
            await _note_question(access, filter_, offsets, fix, why)
            return (await dry_run.check(access, offsets, fix, on_read)).report

    async def replay(
        self,
        filter_: Filter = ALL_WAITING,
        fix: Fix = NO_FIX,
        *,
        yes: bool = False,
        rate: float | None = None,
        parked: bool = False,
        failing_too: bool = False,
        why: str = "",
        on_read: OnRead | None = None,
        on_progress: OnProgress | None = None,
    ) -> ReplayReport:
        """Replay letters; without `yes` only say what would be replayed, once the ledger knows who asks. See
        `replay.replay`."""
        async with self._own_reader() as access:
            if not yes:
                await _note_question(access, filter_, await matching_offsets(access, filter_, on_read), fix, why)
            return await replay.replay(
                access,
                filter_,
                fix,
                yes=yes,
                rate=rate,
                parked=parked,
                failing_too=failing_too,
                why=why,
                on_read=on_read,
                on_progress=on_progress,
            )

    async def discard(
        self, filter_: Filter, note: str, *, yes: bool = False, on_read: OnRead | None = None
    ) -> DiscardReport:
        """Discard letters; without `yes` only say how many."""
        await self._note_search(filter_)
        async with self._own_reader() as access:
            return await discard.discard(access, filter_, note, yes=yes, on_read=on_read)

    @asynccontextmanager
    async def _looking(self, filter_: Filter) -> AsyncIterator[Context]:
        """A turn at what all look at; where letters themselves must be read, a connection that keeps nobody waiting."""
        if filter_.looks_into_letters:
            async with self._own_reader() as access:
                yield access
        else:
            async with self._turn:
                yield self._access

    @asynccontextmanager
    async def _own_reader(self) -> AsyncIterator[Context]:
        async with Reader(self._access.options) as reader:
            await self._access.index.refresh(reader)
            yield replaced(self._access, reader=reader)


async def _note_question(access: Context, filter_: Filter, offsets: Offsets, fix: Fix, why: str) -> None:
    """Each letter that is asked about by its place has the question in its own history; of more, one entry says so."""
    count, letters = sum(map(len, offsets.values())), []
    if filter_.places is not None and count <= NAMED_MAX:
        letters = [letter async for _, found in read_letters(access, offsets) for letter in found]
    said = fix.said() if fix else ""
    await note_check(access, letters, count=count, filter_=filter_.in_words(), fix=said, why=why)


@asynccontextmanager
async def open_service(settings: Settings, *, who: str | None = None) -> AsyncIterator[DeadLetterService]:
    """The office of the settings' environment, its index not read on yet. `who`: default the settings' operator, else
    the operating system's user. Raises OutageError where Kafka does not answer."""
    options, names = client_options(settings.kafka), TopicNames(settings.topics.prefix)
    async with Reader(options) as reader:
        index = Index(settings.state_path / "dead-letters", names, await reader.cluster_id())
        yield DeadLetterService(
            Context(settings, options, names, index, reader, who or settings.operator.name or user())
        )


def user() -> str:
    """The operating system's user."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # in a container the user may have no name
        return "unknown"
