"""What candidates would have said of a batch, as records beside what was published.

Invariant: whatever was published stands in the record, with who said it; a candidate that did not answer is missing.
"""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream_scorer.core.observations.scoring import Probabilities
from stream_scorer.core.observations.speakers import Published
from stream_scorer.core.records.prediction import ModelIdentity
from stream_scorer.core.records.record import NO_HEADERS, Publishable

_encode: Final = msgspec.json.Encoder().encode
_TO_ESCAPE: Final = re.compile(rb'["\\\x00-\x1f]')


class Candidate(NamedTuple):
    """What one candidate says of all rows; `rows`: where it is not the one who was published, None for all."""

    label: str
    threshold: float
    probabilities: Probabilities
    rows: NDArray[np.bool_] | None = None


def with_other_speaker(
    published: Published, champion: ModelIdentity, canary: ModelIdentity | None, shadows: Sequence[Candidate]
) -> list[Candidate]:
    """The shadows, and of champion and canary whichever does not speak for a row, so that pairs are complete."""
    if canary is None or published.canary is None:
        return list(shadows)
    return [
        Candidate(champion.model, champion.threshold, published.champion, published.canaries),
        Candidate(canary.model, canary.threshold, published.canary, ~published.canaries),
        *shadows,
    ]


def shadow_records(
    published: Published,
    champion: ModelIdentity,
    canary: ModelIdentity | None,
    candidates: Sequence[Candidate],
    *,
    partition: int,
    scored_at: str,
    only_disagreements: bool,
) -> list[Publishable]:
    """One encoded `ShadowPrediction` for each row that a candidate speaks of, in the order of offsets.
    `only_disagreements`: for those where one decides otherwise than what was published.

    The hot path of a worker with shadows: as in `encode_predictions`, what the batch shares is encoded once.
    """
    if not candidates:
        return []
    rows, count = published.rows, len(published.codes)
    speakers, said, spoken_by = [champion], published.champion, np.zeros(count, dtype=np.int64)
    if canary is not None and published.canary is not None:
        speakers.append(canary)
        said = np.where(published.canaries, published.canary, published.champion)
        spoken_by = published.canaries.astype(np.int64)
    decisions = said >= np.array([speaker.threshold for speaker in speakers])[spoken_by]
    heads = [[_published(speaker, decided) for decided in (False, True)] for speaker in speakers]
    differs = np.zeros(count, dtype=np.bool_)
    texts: list[list[bytes]] = [[] for _ in range(count)]
    for candidate in candidates:
        decided = candidate.probabilities >= candidate.threshold
        speaks = np.ones(count, dtype=np.bool_) if candidate.rows is None else candidate.rows
        differs |= speaks & (decided != decisions)
        ends = _candidate(candidate)
        numbers = _numbers(candidate.probabilities)
        for row, (number, is_positive, does_speak) in enumerate(
            zip(numbers, decided.tolist(), speaks.tolist(), strict=True)
        ):
            if does_speak:
                texts[row].append(ends[is_positive] % number)
    head = b'{"id":"%%b","observation_code":%%d,"source":{"partition":%d,"offset":%%d},"scored_at":%b,' % (
        partition,
        _encode(scored_at),
    )
    ids = rows.ids
    if _TO_ESCAPE.search(b"".join(ids)):
        ids = [_encode(id_.decode())[1:-1] for id_ in ids]
    written = differs.tolist() if only_disagreements else [bool(text) for text in texts]
    return [
        (
            rows.ids[row],
            head % (ids[row], rows.codes[row], rows.offsets[row])
            + heads[speaker][decided] % number
            + b",".join(texts[row])
            + b"]}",
            rows.records[row].timestamp,
            NO_HEADERS,
        )
        for row, (speaker, decided, number, is_written) in enumerate(
            zip(spoken_by.tolist(), decisions.tolist(), _numbers(said), written, strict=True)
        )
        if is_written
    ]


def _numbers(probabilities: Probabilities) -> list[bytes]:
    """Each as JSON writes it, by one call."""
    return _encode(probabilities.tolist())[1:-1].split(b",") if len(probabilities) else []


def _published(speaker: ModelIdentity, decision: bool) -> bytes:
    """The part of a record that says what was published, with a hole for the probability."""
    model, role = _encode(speaker.model), _encode(speaker.role)
    shared = b'"published":{"model":%b,"role":%b,"prediction":%b' % (model, role, _encode(decision))
    return shared.replace(b"%", b"%%") + b',"proba":%b},"shadows":['


def _candidate(candidate: Candidate) -> tuple[bytes, bytes]:
    """What a candidate says, with a hole for the probability: for a negative and a positive decision."""
    model, threshold = _encode(candidate.label), _encode(candidate.threshold)
    negative, positive = (
        (b'{"model":%b,"prediction":%b,"proba":' % (model, _encode(decision))).replace(b"%", b"%%")
        + b'%b,"threshold":'
        + threshold
        + b"}"
        for decision in (False, True)
    )
    return negative, positive
