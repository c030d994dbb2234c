"""What candidates would have said of a batch, as records beside what was published.

Invariant: whatever was published stands in the record, with who said it; a candidate that did not answer is missing.
"""

import re
from collections.abc import Sequence
from itertools import repeat
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream_scorer.core.observations.scoring import Probabilities
from stream_scorer.core.observations.speakers import Published
from stream_scorer.core.records.prediction import ModelIdentity
from stream_scorer.core.records.record import NO_HEADERS, Publishable

_encode: Final = msgspec.json.Encoder().encode
# What a candidate says of a row: nothing where it is the one who was published
SILENT, NO, YES = range(3)
SAYINGS: Final = 3
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

    The hot path of a worker with shadows. As in `encode_predictions`, what rows share is encoded once: there is a
    template for each way in which speaker and candidates decide together, and a record is its own numbers set into it.
    """
    if not candidates:
        return []
    count = len(published.codes)
    speakers, said, spoken_by = [champion], published.champion, np.zeros(count, dtype=np.int64)
    if canary is not None and published.canary is not None:
        speakers.append(canary)
        said = np.where(published.canaries, published.canary, published.champion)
        spoken_by = published.canaries.astype(np.int64)
    decisions = said >= np.array([speaker.threshold for speaker in speakers])[spoken_by]
    together = spoken_by * 2 + decisions
    written = np.zeros(count, dtype=np.bool_)
    for candidate in candidates:
        decided = candidate.probabilities >= candidate.threshold
        speaks = np.ones(count, dtype=np.bool_) if candidate.rows is None else candidate.rows
        together = together * SAYINGS + np.where(speaks, YES * decided + NO * ~decided, SILENT)
        written |= speaks & (decided != decisions) if only_disagreements else speaks
    rows = np.flatnonzero(written)
    if not len(rows):
        return []
    head = b'{"id":"%%b","observation_code":%%d,"source":{"partition":%d,"offset":%%d},"scored_at":%b,' % (
        partition,
        _encode(scored_at),
    )
    templates = {
        number: head + _template(number, speakers, candidates) for number in np.unique(together[rows]).tolist()
    }
    chosen = published.rows.at(rows.tolist())
    ids = chosen.ids
    if _TO_ESCAPE.search(b"".join(ids)):
        ids = [_encode(id_.decode())[1:-1] for id_ in ids]
    numbers = [_numbers(probabilities[rows]) for probabilities in (said, *(one.probabilities for one in candidates))]
    own = zip(ids, chosen.codes, chosen.offsets, *numbers, strict=True)
    values = [templates[number] % texts for number, texts in zip(together[rows].tolist(), own, strict=True)]
    times = [record.timestamp for record in chosen.records]
    return list(zip(chosen.ids, values, times, repeat(NO_HEADERS), strict=False))


def _numbers(probabilities: Probabilities) -> list[bytes]:
    """Each as JSON writes it, by one call."""
    return _encode(probabilities.tolist())[1:-1].split(b",")


def _template(together: int, speakers: Sequence[ModelIdentity], candidates: Sequence[Candidate]) -> bytes:
    """The part of a record that says what was published and what candidates say, with a hole for each probability;
    `together`: who has spoken, what was decided, and what each candidate says, as one number."""
    says = []
    for _ in candidates:
        together, one = divmod(together, SAYINGS)
        says.append(one)
    speaker, decision = speakers[together >> 1], bool(together & 1)
    text = b'"published":{"model":%b,"role":%b,"prediction":%b' % (
        _encode(speaker.model),
        _encode(speaker.role),
        _encode(decision),
    )
    text = _literal(text) + b',"proba":%b},"shadows":['
    is_first = True
    for candidate, one in zip(candidates, reversed(says), strict=True):
        if one == SILENT:
            text += b"%.0b"  # takes the candidate's number and writes nothing
            continue
        said = b'{"model":%b,"prediction":%b,"proba":' % (_encode(candidate.label), _encode(one == YES))
        text += (b"" if is_first else b",") + _literal(said) + b'%b,"threshold":' + _encode(candidate.threshold) + b"}"
        is_first = False
    return text + b"]}"


def _literal(text: bytes) -> bytes:
    """Text that stands in a template as it is."""
    return text.replace(b"%", b"%%")
