"""One known event through a deployed environment: sent as a producer sends it, its prediction read as a consumer reads
it.

Invariant: no figure of quality holds anything of it: no outcome is sent, so nothing of it is ever joined, and its id
tells who counts predictions to pass it over.
"""

import time
import uuid
from typing import Final

import msgspec

from stream_scorer.client import Answer, Client, Predicted, Redelivered, Rejected, TimedOut
from stream_scorer.core.contract.columns import Value
from stream_scorer.core.contract.observation_code import encode_columns
from stream_scorer.core.contract.smoke_test_ids import smoke_id
from stream_scorer.core.records.prediction import Prediction
from stream_scorer.runtime.settings.settings import Settings

# The producer that scorecards show for it
CLIENT_ID: Final = "stream-scorer-smoke"
# The event that is known: every column has a value that is common, so that it moves no distribution far
OBSERVATION: Final[dict[str, Value]] = {
    "SubjectRaceCode": "W",
    "SubjectSexCode": "M",
    "SubjectEthnicityCode": "N",
    "StatuteReason": "Speed Related",
    "InterventionReasonCode": "V",
    "ResidentIndicator": False,
    "SearchAuthorizationCode": "N",
    "SubjectAge": 30,
    "hour": 14,
    "day_of_week": "Wednesday",
}


class SmokeResult(msgspec.Struct, frozen=True):
    """What became of the event. `faults`: everything that is wrong with it, in words; none: the environment works.
    `seconds`: from sending to reading its prediction."""

    id: str
    faults: tuple[str, ...]
    seconds: float
    prediction: Prediction | None = None

    @property
    def passed(self) -> bool:
        return not self.faults


async def smoke(settings: Settings, *, timeout_s: float, model: str | None = None) -> SmokeResult:
    """Send the event and wait for its prediction, so long at most. `model`: the name, or `<name>@<digest>`, of the one
    that must have made it. Raises OutageError where Kafka is away, TopicsError where the topics are not there."""
    id_ = smoke_id(uuid.uuid4().int)
    async with Client.of(settings, client_id=CLIENT_ID) as client:
        started = time.monotonic()
        answer = await client.score(id_, OBSERVATION, timeout_s=timeout_s)
        seconds = time.monotonic() - started
    prediction = answer.prediction if isinstance(answer, Predicted) else None
    return SmokeResult(id_, faults_of(answer, id_, model), seconds, prediction)


def faults_of(answer: Answer, id_: str, model: str | None) -> tuple[str, ...]:
    """What is wrong with the answer to the event."""
    if isinstance(answer, Rejected):
        return tuple(f"rejected at stage {answer.stage}: {reason.code}: {reason.message}" for reason in answer.reasons)
    if isinstance(answer, TimedOut):
        return (answer.why,)
    if isinstance(answer, Redelivered):
        return ("counted as a redelivery, although this id is new",)
    return tuple(faults_of_prediction(answer.prediction, id_, model))


def faults_of_prediction(said: Prediction, id_: str, model: str | None) -> list[str]:
    """What a prediction of the event says that it should not."""
    faults = []
    if said.id != id_:
        faults.append(f"the prediction's id is {said.id}, not {id_}")
    if said.observation_code != encode_columns(OBSERVATION):
        faults.append(f"the prediction is of observation {said.observation_code}, not of {encode_columns(OBSERVATION)}")
    if not 0 <= said.proba <= 1:
        faults.append(f"{said.proba} is not a probability")
    if said.prediction != (said.proba >= said.threshold):
        faults.append(f"{said.prediction} is not what {said.proba} says against the threshold {said.threshold}")
    if model is not None and model not in (said.model, said.model.partition("@")[0]):
        faults.append(f"{said.model} made the prediction, not {model}")
    return faults
