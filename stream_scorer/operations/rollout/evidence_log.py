"""What all lanes have counted for each pair of champion and candidate, and how it grew.

Invariant: of a lane's records of a pair the last one counts, and lanes add up in any order.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from stream_scorer.core.records.model_evidence import ModelEvidence, decode_evidence
from stream_scorer.core.rollout.evidence import (
    EvidenceCounts,
    evidence_of,
    last_revisions_of,
    no_evidence,
    total_evidence,
)
from stream_scorer.core.rollout.evidence_counter import ModelPair, pair_of
from stream_scorer.core.rollout.score_histograms import ScoreHistograms, histograms_of, no_histograms
from stream_scorer.operations.reading.topic_position import TopicPosition
from stream_scorer.operations.reading.topic_reader import Reader, Record

# Of each lane's evidence, how many of its last offsets a first look reads: the counts are cumulative, so the last ones
# say everything, and those before only how it came to be
TAIL_OFFSETS: Final = 5_000
# Points of a picture that are kept; every second one goes where there are more
POINTS_MAX: Final = 240


class EvidencePoint(NamedTuple):
    """What all lanes together had counted at a time, in ms since 1970."""

    at_ms: int
    counts: EvidenceCounts


class _Growth:
    """One pair: each lane's last counts, and how their sum grew."""

    def __init__(self) -> None:
        self.lanes: dict[int, EvidenceCounts] = {}
        self.last_revisions: dict[int, EvidenceCounts] = {}
        self.histograms: dict[int, ScoreHistograms] = {}
        self.points: list[EvidencePoint] = []
        self._every = self._passed = 0

    def note(self, partition: int, at_ms: int, record: ModelEvidence) -> None:
        self.lanes[partition] = evidence_of(record)
        self.last_revisions[partition] = last_revisions_of(record)
        self.histograms[partition] = histograms_of(record)
        self._passed += 1
        if self._passed <= self._every:
            return
        self._passed = 0
        self.points.append(EvidencePoint(at_ms, self.total()))
        if len(self.points) > POINTS_MAX:
            self.points = self.points[1::2]
            self._every = self._every * 2 + 1

    def total(self) -> EvidenceCounts:
        return total_evidence(list(self.lanes.values()))


class EvidenceLog:
    """The topic of evidence, as far as it was read."""

    def __init__(self, topic: str) -> None:
        self._position = TopicPosition(topic, tail=TAIL_OFFSETS, stable=True)
        self._pairs: dict[ModelPair, _Growth] = {}
        self.passed_over = 0

    async def refresh(self, reader: Reader) -> None:
        """Read on; records that no worker wrote are passed over and counted."""
        found: list[tuple[int, int, ModelEvidence]] = []
        async for partition, records in self._position.read_on(reader):
            found.extend(self._decoded(partition, records))
        # lanes were read one after the other; a picture wants them as they came
        for partition, at_ms, record in sorted(found, key=lambda each: each[1]):
            self.note(partition, at_ms, record)

    def note(self, partition: int, at_ms: int, record: ModelEvidence) -> None:
        """Take in a lane's next record, of a time in ms since 1970."""
        pair = pair_of(record.champion, record.candidate)
        self._pairs.setdefault(pair, _Growth()).note(partition, at_ms, record)

    def _decoded(self, partition: int, records: Iterable[Record]) -> Iterable[tuple[int, int, ModelEvidence]]:
        for record in records:
            evidence = decode_evidence(record.value)
            if evidence is None or evidence.partition != partition:
                self.passed_over += 1
            else:
                yield partition, record.timestamp, evidence

    def total(self, pair: ModelPair) -> EvidenceCounts:
        """What all lanes have counted for a pair; nothing where they have said nothing of it."""
        growth = self._pairs.get(pair)
        return no_evidence() if growth is None else growth.total()

    def last_revisions(self, pair: ModelPair) -> EvidenceCounts:
        """The same with outcomes as their last revisions tell them."""
        growth = self._pairs.get(pair)
        return no_evidence() if growth is None else total_evidence(list(growth.last_revisions.values()))

    def histograms(self, pair: ModelPair) -> ScoreHistograms:
        """How both models' probabilities lie, over all lanes."""
        growth, total = self._pairs.get(pair), no_histograms()
        for lane in () if growth is None else growth.histograms.values():
            total = total.plus(lane)
        return total

    def points(self, pair: ModelPair) -> list[EvidencePoint]:
        """How it grew, oldest first; the last one is what is known now."""
        growth = self._pairs.get(pair)
        if growth is None:
            return []
        last_ms = growth.points[-1].at_ms if growth.points else 0
        return [*growth.points[:-1], EvidencePoint(last_ms, growth.total())]
