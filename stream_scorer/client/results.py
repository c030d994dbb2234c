"""What can be answered to an event.

Invariant: every answer is a value; only Kafka itself being away is an exception.
"""

from typing import TypeAlias

import msgspec

from stream_scorer.core.contract.reasons import Reason, Stage
from stream_scorer.core.records.prediction import Prediction
from stream_scorer.core.records.record import Source


class Predicted(msgspec.Struct, frozen=True, tag_field="answer", tag="predicted"):
    """It was scored. `prediction.source` is where the observation lies; `moved_from` where it was sent, if that was a
    partition on which its id does not belong."""

    prediction: Prediction
    moved_from: Source | None = None


class Redelivered(msgspec.Struct, frozen=True, tag_field="answer", tag="redelivered"):
    """The same observation was scored under this id before, so nothing was published this time. `prediction` is the
    earlier one; None where it was not found (retention has left it, it lies too far back, or the time was over).
    """

    source: Source
    prediction: Prediction | None


class Rejected(msgspec.Struct, frozen=True, tag_field="answer", tag="refused"):
    """It was not scored, for every one of these reasons. `letter`: where it lies in the topic of dead letters; None
    where it is larger than Kafka takes and was never sent."""

    reasons: tuple[Reason, ...]
    stage: Stage
    source: Source | None
    letter: Source | None


class TimedOut(msgspec.Struct, frozen=True, tag_field="answer", tag="unanswered"):
    """Nothing was said of it in time. With a `source` it lies in Kafka and will be answered there; None: Kafka has not
    acknowledged it, so it may or may not be there. Sending the same event again is safe either way: it is scored once.
    """

    source: Source | None
    why: str


Answer: TypeAlias = Predicted | Redelivered | Rejected | TimedOut
