"""What loaded models would have said of joined stops, added to the outcome updates of a batch.

Invariant: an update gets `verdicts` where a candidate served at its observation's offset, of the champion too; with the
champion alone nobody is asked, and no update changes by a byte.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

import numpy as np

from stream_scorer.core.observations.scoring import Codes, Probabilities
from stream_scorer.core.records.model_control import ServedModel
from stream_scorer.core.records.outcome_update import encode_update
from stream_scorer.core.records.record import Publishable
from stream_scorer.core.rollout.evidence_counter import EvidenceCounter
from stream_scorer.core.state.entry import CODE_MASK, ROW_BYTES
from stream_scorer.core.state.entry_columns import int48_column, rows_from_bytes

# How an encoded joined update begins: its tag is its first member
JOINED: Final = b'{"status":"joined"'
# Packed, the offset of a prediction that only a joined update tells of
UNKNOWN_OFFSET: Final = (1 << 48) - 1

Answer = Callable[[Codes, ServedModel], Awaitable[Probabilities | None]]


async def with_verdicts(
    updates: Sequence[Publishable],
    entries: Mapping[bytes, bytes | None],
    serving: Sequence[EvidenceCounter],
    answer: Answer,
) -> Sequence[Publishable]:
    """The updates, those that were joined with `verdicts`. `entries`: what is kept of their ids, packed; `answer`: what
    a model says of codes, None where its answer is of no use."""
    known: list[tuple[int, bytes]] = []
    for place, (id_, value, _, _) in enumerate(updates):
        if id_ is not None and value is not None and value.startswith(JOINED) and (entry := entries.get(id_)):
            known.append((place, entry[:ROW_BYTES]))
    if not known:
        return updates
    rows = rows_from_bytes([row for _, row in known])
    codes, offsets = rows["head"].astype(np.int64) & CODE_MASK, int48_column(rows, "offset")
    said: list[dict[str, bool]] = [{} for _ in known]
    for counter in serving:
        served = np.flatnonzero((offsets >= counter.first.observations) & (offsets != UNKNOWN_OFFSET)).tolist()
        for model in counter.pair:
            asked = [row for row in served if model.label not in said[row]]
            if asked and (probabilities := await answer(codes[asked], model)) is not None:
                for row, decision in zip(asked, (probabilities >= model.threshold).tolist(), strict=True):
                    said[row][model.label] = decision
    found = list(updates)
    for (place, _), verdicts in zip(known, said, strict=True):
        id_, value, timestamp_ms, headers = updates[place]
        if verdicts and value is not None:
            found[place] = (id_, value[:-1] + b',"verdicts":' + encode_update(verdicts) + b"}", timestamp_ms, headers)
    return found
