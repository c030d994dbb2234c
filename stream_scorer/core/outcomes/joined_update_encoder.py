"""First `joined` updates by the thousand, encoded column by column.

Invariant: each is, byte for byte, what encoding an `updates.Joined` of revision 1 gives.
"""

from collections.abc import Sequence
from functools import cache
from itertools import product
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_scorer.core.contract.columns import COLUMNS
from stream_scorer.core.contract.observation_code import STRIDES
from stream_scorer.core.records.outcome_update import encode_update
from stream_scorer.core.records.timestamps import rfc3339
from stream_scorer.core.state.model_ids import ModelIds

Numbers = NDArray[np.int64]
Decisions = NDArray[np.bool_]

# An observation's JSON without an object made of it: one of 9,792 fronts (seven columns) and one of 15,925 backs.
FRONT_COLUMNS: Final = 7
BACK_CODES: Final = STRIDES[FRONT_COLUMNS - 1]


class JoinedColumns(NamedTuple):
    """What is joined, one row an outcome: `offsets` are the outcomes', `models` numbers of the lane's table."""

    ids: Sequence[bytes]
    offsets: Sequence[int]
    codes: Numbers
    probas: NDArray[np.float64]
    predictions: Decisions
    actual: Decisions
    models: Numbers
    scored_ms: Numbers
    event_ms: Numbers
    outcome_ms: Numbers


def encode_joined(columns: JoinedColumns, partition: int, models: ModelIds) -> list[bytes]:
    """One encoded update of revision 1 for each row.

    What rows share (model, decision, class) is encoded once into a template, all numbers are written by one call, and
    an update is its own values set into its template: half the time of a struct for each.
    """
    kinds = columns.models * 4 + columns.predictions * 2 + columns.actual
    templates = {
        kind: _template(*models[kind // 4], bool(kind & 2), bool(kind & 1), partition)
        for kind in np.unique(kinds).tolist()
    }
    front, back = observation_parts()
    delays = _floats((columns.outcome_ms - columns.event_ms) / 1000)
    return [
        templates[kind] % (id_, proba, front[first], back[last], scored_at, outcome_at, delay, offset)
        for kind, id_, proba, first, last, scored_at, outcome_at, delay, offset in zip(
            kinds.tolist(),
            _texts(columns.ids),
            _floats(columns.probas),
            (columns.codes // BACK_CODES).tolist(),
            (columns.codes % BACK_CODES).tolist(),
            _times(columns.scored_ms),
            _times(columns.outcome_ms),
            delays,
            columns.offsets,
            strict=True,
        )
    ]


def _template(model: str, role: str, prediction: bool, actual: bool, partition: int) -> bytes:
    """An update as a format of bytes, with holes for id, probability, observation (two parts), times, delay, offset."""
    shared = (encode_update(model), encode_update(role))
    name, as_role = (part.replace(b"%", b"%%") for part in shared)
    true_class, predicted, correct = (encode_update(each) for each in (actual, prediction, prediction == actual))
    return (
        b'{"status":"joined","id":"%b","revision":1,"true_class":' + true_class
        + b',"prediction":' + predicted
        + b',"proba":%b,"correct":' + correct
        + b',"model":' + name
        + b',"role":' + as_role
        + b',"observation":%b%b,"scored_at":"%b","outcome_at":"%b","delay_s":%b,"source":{"partition":'
        + encode_update(partition)
        + b',"offset":%d}}'
    )  # fmt: skip


@cache
def observation_parts() -> tuple[list[bytes], list[bytes]]:
    """The JSON of every observation in two parts: code // BACK_CODES in the first list, code % BACK_CODES in the other.
    Made at first need, in some 20 ms, and 5 MB large."""
    parts = [[encode_update({column.name: value})[1:-1] for value in column.domain] for column in COLUMNS]
    front, back = product(*parts[:FRONT_COLUMNS]), product(*parts[FRONT_COLUMNS:])
    return [b"{" + b",".join(each) + b"," for each in front], [b",".join(each) + b"}" for each in back]


def _texts(ids: Sequence[bytes]) -> list[bytes]:
    """Each id as it stands in a JSON string. Within one, a quotation mark is escaped, so the ids part at `","`."""
    return encode_update([id_.decode() for id_ in ids])[2:-2].split(b'","')


def _floats(numbers: NDArray[np.float64]) -> list[bytes]:
    return encode_update(numbers.tolist())[1:-1].split(b",")


def _times(times_ms: Numbers) -> list[bytes]:
    """RFC 3339; rows share seconds, so the costly part is done once a second."""
    seconds = times_ms // 1000
    text_of = {second: rfc3339(second * 1000)[:-4].encode() for second in np.unique(seconds).tolist()}
    rows = zip(seconds.tolist(), (times_ms % 1000).tolist(), strict=True)
    return [text_of[second] + _MILLISECONDS[millisecond] for second, millisecond in rows]


_MILLISECONDS: Final = tuple(b"%03dZ" % millisecond for millisecond in range(1000))
