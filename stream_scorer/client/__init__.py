"""For programs that send events: an answer for each one, its prediction or its reasons.

    async with Client(bootstrap="kafka:9092") as client:
        answer = await client.score("stop-1", {"SubjectRaceCode": "B", …}, timeout_s=5)

Invariant: an answer is what the topics say under `read_committed`; nothing is guessed, and asking again never scores
twice.
"""

from stream_scorer.client.asking_together import Events
from stream_scorer.client.client import Client
from stream_scorer.client.results import Answer, Predicted, Redelivered, Rejected, TimedOut
from stream_scorer.client.validation import check, check_outcome
from stream_scorer.core.contract.reasons import Code, Reason, Stage
from stream_scorer.core.records.prediction import Prediction
from stream_scorer.core.records.record import Source

__all__ = [
    "Answer",
    "Client",
    "Code",
    "Events",
    "Predicted",
    "Prediction",
    "Reason",
    "Redelivered",
    "Rejected",
    "Source",
    "Stage",
    "TimedOut",
    "check",
    "check_outcome",
]
