"""Who speaks for which row of a batch: the champion, or for its share the canary.

Invariant: a row has one speaker, whose probability is published with its own threshold; where the canary fails at any
row, the champion speaks for all.
"""

from collections.abc import Callable, Generator, Sequence
from typing import NamedTuple

import numpy as np

from stream_scorer.core.contract.smoke_test_ids import smoke_test_indices
from stream_scorer.core.observations.scoring import Codes, Probabilities, Scored
from stream_scorer.core.observations.validation import ValidObservations
from stream_scorer.core.quality.counts import Decisions
from stream_scorer.core.records.prediction import ModelIdentity, Role
from stream_scorer.core.records.record import Publishable
from stream_scorer.core.rollout.assignment import canary_ids


class ScoreRequest(NamedTuple):
    """Observation codes to be scored, shape (n,), by the model in that role. The answer to one for the canary may be
    None: it failed, and the champion speaks for its share."""

    codes: Codes
    role: Role = "champion"


class CanaryShare(NamedTuple):
    """The canary and whose predictions are its own. `salt`: 16 bytes."""

    speaker: ModelIdentity
    salt: bytes
    share: float


class ScoredSample(NamedTuple):
    """The predictions that quality and drift are computed from, smoke tests left out: three arrays of one shape."""

    codes: Codes
    decisions: Decisions
    probabilities: Probabilities


class Published(NamedTuple):
    """What was predicted, in the order of offsets, all of one length; `champion`: its probabilities; `canary`: the
    canary's, None without one; `canaries`: the rows that it speaks for."""

    rows: ValidObservations
    codes: Codes
    champion: Probabilities
    canary: Probabilities | None
    canaries: Decisions


class Said(NamedTuple):
    """What is published of each row. `canary`: what the canary says of all of them, None where it is not asked or has
    failed; `canaries`: the rows that it speaks for."""

    probabilities: Probabilities
    decisions: Decisions
    canary: Probabilities | None
    canaries: Decisions


def said_by_champion(probabilities: Probabilities, speaker: ModelIdentity) -> Said:
    """What is published where the champion speaks for all."""
    return Said(probabilities, probabilities >= speaker.threshold, None, np.zeros(len(probabilities), dtype=np.bool_))


def said_with_canary(
    accepted: ValidObservations, codes: Codes, champion: Probabilities, speaker: ModelIdentity, canary: CanaryShare
) -> Generator[ScoreRequest, Scored | None, Said]:
    """What is published where the canary speaks for its share; the champion for all where it fails at any row."""
    answer = yield ScoreRequest(codes, "canary")
    if answer is None or answer.rejected:
        return said_by_champion(champion, speaker)
    canaries = canary_ids(canary.salt, accepted.ids, canary.share)
    probabilities = np.where(canaries, answer.probabilities, champion)
    thresholds = np.where(canaries, canary.speaker.threshold, speaker.threshold)
    return Said(probabilities, probabilities >= thresholds, answer.probabilities, canaries)


def samples_of(
    ids: Sequence[bytes], codes: Codes, said: Said, speaker: ModelIdentity, rows: Decisions
) -> list[tuple[ModelIdentity, ScoredSample]]:
    """The sample of one speaker; none where it has said nothing."""
    own = [id_ for id_, is_own in zip(ids, rows.tolist(), strict=True) if is_own]
    sample = ScoredSample(codes[rows], said.decisions[rows], said.probabilities[rows])
    return [(speaker, without_smoke_tests(own, sample))] if own else []


def in_order(
    encode: Callable[..., list[Publishable]],
    accepted: ValidObservations,
    said: Said,
    champion: ModelIdentity,
    canary: ModelIdentity,
) -> list[Publishable]:
    """The predictions of both speakers in the order of offsets."""
    records: list[Publishable | None] = [None] * len(accepted.ids)
    for speaker, mask in ((champion, ~said.canaries), (canary, said.canaries)):
        rows = np.flatnonzero(mask).tolist()
        made = encode(accepted.at(rows), said.probabilities[mask].tolist(), speaker=speaker)
        for row, record in zip(rows, made, strict=True):
            records[row] = record
    return [record for record in records if record is not None]


def without_smoke_tests(ids: Sequence[bytes], sample: ScoredSample) -> ScoredSample:
    if not (smoke := smoke_test_indices(ids)):
        return sample
    others = np.ones(len(ids), dtype=np.bool_)
    others[smoke] = False
    return ScoredSample(sample.codes[others], sample.decisions[others], sample.probabilities[others])
