"""What is counted for a pair of models: neither order nor batches matter, and a record is read on from."""

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_scorer.core.contract.observation_code import CODES, STRIDES
from stream_scorer.core.quality.counts import GROUP_SIZES
from stream_scorer.core.records.model_control import Canary, ServedModel
from stream_scorer.core.records.model_evidence import RECENT_OUTCOMES, ModelEvidence, decode_evidence, encode_evidence
from stream_scorer.core.records.model_switch import FirstOffsets
from stream_scorer.core.rollout.evidence import evidence_of, last_revisions_of
from stream_scorer.core.rollout.evidence_counter import EvidenceCounter, pair_of
from stream_scorer.core.rollout.score_histograms import histograms_of

CHAMPION = ServedModel(name="champion", digest="a" * 64, threshold=0.4)
CANDIDATE = ServedModel(name="candidate", digest="b" * 64, threshold=0.6)
FIRST, NEXT = FirstOffsets(7, 9), FirstOffsets(70, 90)

probabilities = st.sampled_from([0.0, 0.25, 0.4, 0.5, 0.6, 0.75, 1.0])
outcomes = st.tuples(st.integers(0, CODES - 1), probabilities, probabilities, st.booleans())


def a_counter(recorded: ModelEvidence | None = None, first: FirstOffsets = FIRST) -> EvidenceCounter:
    return EvidenceCounter(pair_of(CHAMPION, CANDIDATE), first, recorded)


def recorded(counter: EvidenceCounter) -> ModelEvidence:
    """Its record, as the next owner reads it."""
    record = counter.record(3, NEXT, "worker-1", "2026-01-02T03:04:05.678Z")
    read = decode_evidence(encode_evidence(record))
    assert read == record
    return record


def count(counter: EvidenceCounter, seen: list[Any]) -> None:
    codes, champion, candidate, actual = (np.array(column) for column in zip(*seen, strict=True))
    counter.count_outcomes(codes, champion, candidate, actual)
    counter.count_scored(codes, champion, candidate)


@given(seen=st.lists(outcomes, min_size=1, max_size=60), data=st.data())
def test_neither_order_nor_batches_nor_owners_matter(seen: list[Any], data: st.DataObject) -> None:
    whole, split = a_counter(), a_counter()
    count(whole, seen)
    shuffled = data.draw(st.permutations(seen))
    while shuffled:
        size = data.draw(st.integers(1, len(shuffled)))
        count(split, shuffled[:size])
        shuffled = shuffled[size:]
        if data.draw(st.booleans()):
            split = a_counter(recorded(split), FirstOffsets(1_000, 1_000))
    one, other = recorded(whole), recorded(split)
    assert (one.outcomes, one.scored, one.first) == (other.outcomes, other.scored, other.first)
    assert (one.scores, one.calibration) == (other.scores, other.calibration)
    assert sorted(one.recent) == sorted(other.recent)
    assert one.residual_sum == pytest.approx(other.residual_sum)
    assert one.residual_squares == pytest.approx(other.residual_squares)


@given(seen=st.lists(st.tuples(outcomes, st.booleans()), min_size=1, max_size=60))
def test_corrections_stand_beside_the_first_revisions_and_change_nothing_in_them(seen: list[Any]) -> None:
    first, last = a_counter(), a_counter()
    count(first, [outcome for outcome, _ in seen])
    count(last, [(*outcome[:3], outcome[3] != corrected) for outcome, corrected in seen])
    for (code, champion, candidate, actual), corrected in seen:
        if corrected:
            counter = a_counter(recorded(first), NEXT)
            counter.count_corrections(*map(np.array, ([code], [champion], [candidate], [not actual])))
            first = counter
    record, expected = recorded(first), recorded(last)
    assert evidence_of(record).outcomes.sum() == len(seen)
    np.testing.assert_array_equal(last_revisions_of(record).outcomes, evidence_of(expected).outcomes)
    assert (record.corrections is msgspec.UNSET) == (record.outcomes == expected.outcomes)


@given(seen=st.lists(outcomes, min_size=1, max_size=60))
def test_counts_are_those_of_one_outcome_after_the_other(seen: list[Any]) -> None:
    counter = a_counter()
    count(counter, seen)
    record = recorded(counter)
    expected = np.zeros(evidence_of(record).outcomes.shape, dtype=np.int64)
    groups = expected.reshape(-1, 8)
    for code, champion, candidate, actual in seen:
        says = (champion >= CHAMPION.threshold) * 4 + (candidate >= CANDIDATE.threshold) * 2
        groups[code // (CODES // len(groups)), says + actual] += 1
    np.testing.assert_array_equal(evidence_of(record).outcomes, expected)
    np.testing.assert_array_equal(evidence_of(record).scored.reshape(-1), expected.reshape(-1, 4, 2).sum((0, 2)))
    assert record.residual_sum == pytest.approx(sum(actual - champion for _, champion, _, actual in seen))


@given(seen=st.lists(outcomes, min_size=1, max_size=60))
def test_histograms_hold_each_stop_once_in_each_column(seen: list[Any]) -> None:
    counter = a_counter()
    count(counter, seen)
    found = histograms_of(recorded(counter))
    groups = np.split(found.calibration, np.cumsum(GROUP_SIZES)[:-1], axis=1)
    for of_column in (*groups, *np.split(found.scores[..., None], np.cumsum(GROUP_SIZES)[:-1], axis=1)):
        assert of_column[..., 0].sum(axis=(1, 2)).tolist() == [len(seen)] * 2
    for model, probability in enumerate((1, 2)):
        expected = np.zeros((10, 2), dtype=int)
        for row in seen:
            expected[min(int(row[probability] * 10), 9)] += (1, row[3])
        np.testing.assert_array_equal(groups[1][model].sum(axis=0), expected)
    sex = (seen[0][0] // STRIDES[1]) % GROUP_SIZES[1]
    assert found.scores[1, GROUP_SIZES[0] + sex].sum() == sum((row[0] // STRIDES[1]) % 2 == sex for row in seen)


def test_with_histograms_a_record_is_less_than_twice_as_large() -> None:
    random, counter = np.random.default_rng(3), a_counter()
    codes, champion = random.integers(0, CODES, 100_000), random.beta(2, 3, 100_000)
    counter.count_outcomes(codes, champion, random.beta(2, 3, 100_000), random.random(100_000) < champion)
    counter.count_scored(codes, champion, random.beta(2, 3, 100_000))
    record = recorded(counter)
    bare = msgspec.structs.replace(record, scores=msgspec.UNSET, calibration=msgspec.UNSET)
    assert len(encode_evidence(record)) < 2 * len(encode_evidence(bare))


def test_a_record_of_an_earlier_version_is_read_on_from_without_its_histograms() -> None:
    counter = a_counter()
    count(counter, [(0, 0.75, 0.25, True)] * 3)
    bare = msgspec.structs.replace(recorded(counter), scores=msgspec.UNSET, calibration=msgspec.UNSET)
    assert b'"scores"' not in encode_evidence(bare)
    decoded = decode_evidence(encode_evidence(bare))
    assert decoded == bare
    after = a_counter(decoded)
    count(after, [(0, 0.75, 0.25, True)])
    assert evidence_of(recorded(after)).cells.sum() == 4
    assert histograms_of(recorded(after)).calibration[0].sum() == 2 * 3


def test_recent_are_the_last_outcomes_only() -> None:
    counter = a_counter()
    count(counter, [(0, 1.0, 1.0, True)] * 10)
    count(counter, [(0, 0.0, 0.0, False)] * (RECENT_OUTCOMES - 3))
    assert recorded(counter).recent == "777" + "0" * (RECENT_OUTCOMES - 3)


def test_a_pair_is_the_same_whatever_the_role_and_another_with_another_threshold() -> None:
    canary = Canary(name="candidate", digest="b" * 64, threshold=0.6, share=0.1, salt="0" * 32)
    assert pair_of(CHAMPION, canary) == pair_of(CHAMPION, CANDIDATE)
    assert pair_of(CHAMPION, msgspec.structs.replace(CANDIDATE, threshold=0.5)) != pair_of(CHAMPION, CANDIDATE)
