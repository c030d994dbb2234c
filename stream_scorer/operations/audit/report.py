"""The audit: where every input of a range ended, from the topics alone.

Invariant: what it can't prove it does not count as proven, and every record that is unaccounted for, or accounted for
twice, is named.
"""

import time
from collections.abc import Mapping
from typing import Any, Final

import msgspec
import numpy as np

from stream_scorer.core.audit.inputs import InputTopic, Rows
from stream_scorer.core.audit.reconciliation import Disposition, Flags, Reconciliation
from stream_scorer.core.audit.traces import OutputKind
from stream_scorer.operations.audit.evidence import At, Evidence, Question
from stream_scorer.operations.audit.operator_actions import Places, apart
from stream_scorer.operations.reading.topic_reader import OnRead, Reader
from stream_scorer.runtime.cluster.topic_admin import TopicNames

__all__ = ["At", "AuditReport", "audit"]

JOIN_WINDOW_S: Final = 30 * 86_400.0
NAMED_MAX: Final = 100


class AuditReport(msgspec.Struct, frozen=True, kw_only=True):
    """What an audit found. Counts are of input records, by topic or by where they ended; records are named
    `topic-partition@offset`, the first hundred of each kind."""

    inputs: dict[str, int]
    ended: dict[str, int]
    unaccounted: int
    duplicated: int
    # what is said of an input that is not there, or is another than the one spoken of
    strays: int
    # records behind what the group has committed: nothing is known of them yet
    not_yet_read: int
    # inputs without a trace that are older than the traces which retention has left
    beyond_retention: int
    # offsets of inputs that retention deleted before anybody can have read them
    deleted_unread: int
    # offsets that retention deleted and no output names: unread, or sent again
    deleted_unnamed: int
    # records that a producer has marked as moved, but that were not
    forged_moves: int
    # of the inputs: those that an operator replayed, proven by the ledger and by the record
    replays: int
    # of the inputs that ended in a dead letter: those that an operator replayed or discarded; the others wait
    letters_replayed: int
    letters_discarded: int
    # replays of the ledger without their record, and dead letters that were replayed twice
    lost_replays: int
    doubled_replays: int
    # records that a producer has marked as replayed, but that were not
    forged_replays: int
    # records of the ledger that tell of no act on a dead letter: somebody else wrote them, and they were passed over
    unreadable_acts: int
    # batches that were not unfolded: each ended in one dead letter, for all its offsets
    quarantined_batches: int
    quarantined_offsets: int
    # ids scored again within the join window: no loss and no double, and not to be found once duplicates are recognised
    predicted_twice: int
    # both, as `topic-partition@first..last`
    deleted_ranges: tuple[str, ...]
    unaccounted_offsets: tuple[str, ...]
    duplicated_offsets: tuple[str, ...]
    stray_offsets: tuple[str, ...]
    forged_move_offsets: tuple[str, ...]
    predicted_twice_offsets: tuple[str, ...]
    lost_replay_offsets: tuple[str, ...]
    doubled_replay_offsets: tuple[str, ...]
    forged_replay_offsets: tuple[str, ...]
    unreadable_act_offsets: tuple[str, ...]
    quarantined_batch_offsets: tuple[str, ...]
    records_read: int
    seconds: float

    @property
    def is_fine(self) -> bool:
        """Every input ended in exactly one place, nothing is said of an input that is not there, and every replay that
        the ledger tells of was made, once; and none was deleted unread."""
        wrong = (
            *(self.unaccounted, self.duplicated, self.strays, self.lost_replays, self.doubled_replays),
            self.deleted_unread,
        )
        return not any(wrong)


async def audit(
    options: Mapping[str, Any],
    names: TopicNames,
    group: str,
    *,
    begin: At | None = None,
    end: At | None = None,
    count_unread: bool = False,
    join_window_s: float = JOIN_WINDOW_S,
    on_read: OnRead | None = None,
) -> AuditReport:
    """Where the inputs of a range ended; by default of all that is retained, up to what the group has committed.

    `options` are aiokafka's client options, `group` is the workers'. What lies behind the committed offsets is counted
    as not yet read, with `count_unread` as unaccounted for. `on_read` is called now and then with how many records were
    read, of how many offsets. Raises OutageError where Kafka does not answer, TopicsError where the topics are not
    there.
    """
    started, now_ms = time.monotonic(), int(time.time() * 1000)
    async with Reader(options) as reader:
        evidence = Evidence(reader, names, on_read)
        await evidence.measure(Question(group, begin or At(), end or At(), count_unread))
        await evidence.read()
        accounts = await evidence.settle(int(join_window_s * 1000), now_ms)
    return _report(evidence, names, accounts, records_read=reader.records_read, seconds=time.monotonic() - started)


def _report(
    evidence: Evidence,
    names: TopicNames,
    accounts: Mapping[InputTopic, Reconciliation],
    *,
    records_read: int,
    seconds: float,
) -> AuditReport:
    inputs: dict[str, int] = {}
    ended = dict.fromkeys(Disposition, 0)
    beyond_retention = 0
    unaccounted, duplicated, strays, forged, twice = _Names(), _Names(), _Names(), _Names(), _Names()
    letters_replayed = letters_discarded = 0
    batches: list[tuple[str, int, int]] = []
    for side, account in accounts.items():
        rows, traces = evidence.inputs(side), evidence.traces(side)
        topic = names.observations if side is InputTopic.OBSERVATIONS else names.outcomes
        asked = evidence.is_asked(side, rows["partition"], rows["offset"])
        inputs[side.name.lower()] = int(asked.sum())
        for end, flags in account.ends.items():
            ended[end] += int((flags & asked).sum())
        for trace in traces[~account.strays & (traces["batch"] > 0)]:
            last = int(trace["source_offset"])
            batches.append((f"{topic}-{trace['source_partition']}", last - int(trace["batch"]) + 1, last))
        decided = evidence.acts.decided(evidence.dead_letters(side, _letters(account) & asked))
        letters_replayed += decided.replayed
        letters_discarded += decided.discarded
        beyond = account.unaccounted & evidence.is_beyond_retention(side, rows)
        beyond_retention += int((beyond & asked).sum())
        unaccounted.add(topic, rows[account.unaccounted & ~beyond & asked])
        duplicated.add(topic, rows[account.duplicated & asked])
        twice.add(topic, rows[account.predicted_twice & asked])
        astray = traces[account.strays & evidence.is_about(side, traces)]
        for kind in OutputKind:
            found = forged if kind is OutputKind.MOVE else strays
            found.add(_topic_of(kind, topic, names), astray[astray["kind"] == kind])
    acts = evidence.acts.found()
    lost, doubled, false = (_named(evidence, names, places) for places in (acts.lost, acts.twice, acts.forged))
    return AuditReport(
        inputs=inputs,
        ended={end.value: count for end, count in ended.items()},
        unaccounted=unaccounted.count,
        duplicated=duplicated.count,
        strays=strays.count,
        not_yet_read=evidence.not_yet_read,
        beyond_retention=beyond_retention,
        deleted_unread=sum(one.last - one.first + 1 for one in evidence.deleted if one.certain),
        deleted_unnamed=sum(one.last - one.first + 1 for one in evidence.deleted if not one.certain),
        deleted_ranges=tuple(f"{one.topic}-{one.partition}@{one.first}..{one.last}" for one in evidence.deleted),
        forged_moves=forged.count,
        replays=sum(map(len, evidence.asked_of(acts.replays).values())),
        letters_replayed=letters_replayed,
        letters_discarded=letters_discarded,
        lost_replays=lost.count,
        doubled_replays=doubled.count,
        forged_replays=false.count,
        unreadable_acts=len(evidence.acts.unreadable),
        quarantined_batches=len(batches),
        quarantined_offsets=sum(last - first + 1 for _, first, last in batches),
        predicted_twice=twice.count,
        unaccounted_offsets=unaccounted.first,
        duplicated_offsets=duplicated.first,
        stray_offsets=strays.first,
        forged_move_offsets=forged.first,
        predicted_twice_offsets=twice.first,
        lost_replay_offsets=lost.first,
        doubled_replay_offsets=doubled.first,
        forged_replay_offsets=false.first,
        unreadable_act_offsets=tuple(
            f"{names.ledger}-0@{offset}" for offset in sorted(evidence.acts.unreadable)[:NAMED_MAX]
        ),
        quarantined_batch_offsets=tuple(f"{name}@{first}..{last}" for name, first, last in batches[:NAMED_MAX]),
        records_read=records_read,
        seconds=round(seconds, 3),
    )


def _letters(account: Reconciliation) -> Flags:
    return account.ends[Disposition.DEAD_LETTER] | account.ends.get(Disposition.UNKNOWN, np.zeros(1, dtype=bool))


def _named(evidence: Evidence, names: TopicNames, places: Places) -> "_Names":
    """Those of the places that are inputs which are asked about."""
    found = _Names()
    for side, asked in evidence.asked_of(places).items():
        _, partitions, offsets = apart(asked)
        rows = np.empty(len(asked), dtype=[("partition", np.int32), ("offset", np.int64)])
        rows["partition"], rows["offset"] = partitions, offsets
        found.add(names.observations if side is InputTopic.OBSERVATIONS else names.outcomes, rows)
    return found


def _topic_of(kind: OutputKind, input_topic: str, names: TopicNames) -> str:
    if kind is OutputKind.MOVE:
        return input_topic
    if kind is OutputKind.PREDICTION:
        return names.predictions
    return names.dead_letters if kind in (OutputKind.DEAD_LETTER, OutputKind.UNKNOWN_LETTER) else names.outcome_updates


class _Names:
    """Records counted, and the first of them by name."""

    def __init__(self) -> None:
        self.count = 0
        self.first: tuple[str, ...] = ()

    def add(self, topic: str, rows: Rows) -> None:
        room = NAMED_MAX - len(self.first)
        first = rows[np.lexsort((rows["offset"], rows["partition"]))][:room]
        self.first += tuple(f"{topic}-{row['partition']}@{row['offset']}" for row in first)
        self.count += len(rows)
