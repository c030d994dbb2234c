"""The log read again with the models that served: every published prediction must come out as it was published.

Invariant: a prediction counts as the same only if its observation, its model, its decision and its probability (to
1e-9) are; what can't be compared is named, and is no success. Where other versions of the libraries scored, a
probability may differ in its last digits, and the decision alone is compared.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream_scorer.core.rollout.published_rows import NOBODY, Rows
from stream_scorer.core.rollout.serving_history import ServingHistory
from stream_scorer.models.artifacts.model_card import library_versions
from stream_scorer.models.registry.model_directory import LoadedModel
from stream_scorer.operations.backtest.retained_rows import (
    OnRead,
    PartitionRows,
    Range,
    RetainedReader,
    scored_observations,
)
from stream_scorer.operations.reading.topic_reader import Reader
from stream_scorer.runtime.cluster.topic_admin import TopicNames
from stream_scorer.runtime.settings.settings import KafkaSettings

TOLERANCE: Final = 1e-9
NAMED_MAX: Final = 20


class AsServedReport(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it, counted in predictions; each that is not `same` counts once, for the first of these that it is.

    `unloaded`: of a model that was not given, by its name. `other_observation`: the observation at the offset that it
    names is another one. `other_model`: the switches say that another model, role or threshold served there.
    `other_decision`, `other_proba`: the model says something else. `places`: the first of those four, as
    `topic-partition@offset` of the observation. `not_retained`: of those compared, predictions whose observation
    is no longer there, so that only its number in the prediction was scored. `other_versions`: predictions that were
    scored with other versions of the libraries than are installed here; of them decisions are compared and
    probabilities are not. `switches`: how many switches of models
    there are; without any, each prediction is held against the model that it names.
    """

    models: tuple[str, ...]
    switches: int
    predictions: int
    same: int
    unloaded: dict[str, int]
    other_observation: int
    other_model: int
    other_decision: int
    other_proba: int
    not_retained: int
    other_versions: int
    places: tuple[str, ...]
    records_read: int
    seconds: float

    @property
    def is_same(self) -> bool:
        """Whether there were predictions, and every one came out as it was published."""
        return 0 < self.predictions == self.same


async def as_served(
    options: Mapping[str, Any],
    names: TopicNames,
    models: Sequence[LoadedModel],
    asked: Range,
    *,
    event_bytes_max: int,
    framed: bool = False,
    on_read: OnRead = lambda read, offsets: None,
    kafka: KafkaSettings | None = None,
) -> AsServedReport:
    """Compare the range's published predictions with what these models say; `options` are aiokafka's client options,
    `kafka` the settings that they are of, where several processes may read.
    Raises TopicsError where the topics are not there, OutageError where Kafka does not answer."""
    started, loaded = time.monotonic(), {model.name: model for model in models}
    async with Reader(options) as reader:
        retained_reader = RetainedReader(
            reader, names, event_bytes_max=event_bytes_max, framed=framed, on_read=on_read, kafka=kafka
        )
        switches = await retained_reader.switches()
        history = ServingHistory(switches)
        retained = await retained_reader.read(asked, with_outcomes=False, history=history)
    found = _Findings(names.observations, history)
    for rows in retained.partitions:
        found.add(rows, retained.models, loaded)
    return AsServedReport(
        models=tuple(sorted(loaded)),
        switches=len(switches),
        predictions=found.predictions,
        same=found.same,
        unloaded=found.unloaded,
        **found.faults,
        not_retained=found.not_retained,
        other_versions=found.other_versions,
        places=tuple(found.places),
        records_read=retained.records_read,
        seconds=time.monotonic() - started,
    )


class _Findings:
    """Counts over partitions."""

    def __init__(self, topic: str, history: ServingHistory) -> None:
        self._topic, self._history, self._versions = topic, history, library_versions()
        self.predictions = self.same = self.not_retained = self.other_versions = 0
        self.unloaded: dict[str, int] = {}
        self.faults = dict.fromkeys(("other_observation", "other_model", "other_decision", "other_proba"), 0)
        self.places: list[str] = []

    def add(self, rows: PartitionRows, ids: Any, loaded: Mapping[str, LoadedModel]) -> None:
        """Compare one partition's predictions."""
        published = rows.published
        self.predictions += len(published)
        differs = _other_observations(rows)
        self.not_retained += len(published) - len(scored_observations(rows)[1])
        for number in np.unique(published["model"]).tolist():
            mine = np.flatnonzero(published["model"] == number)
            name, _ = ids[number]
            if (model := loaded.get(name)) is None:
                self.unloaded[name] = self.unloaded.get(name, 0) + len(mine)
                continue
            self._compare(rows.number, published[mine], differs[mine], model)

    def _compare(self, partition: int, said: Rows, differs: NDArray[np.bool_], model: LoadedModel) -> None:
        probas = model.score(said["code"])
        # who the switches say, and from which probability on; without any, who the prediction itself says
        asked = said["expected"] != NOBODY
        other_model = asked & ((said["expected"] != said["model"]) | (said["expected_threshold"] != said["threshold"]))
        other_decision = (probas >= said["threshold"]) != said["prediction"]
        # a probability at the threshold may fall on either side of it by its last digit: a decision is the published
        # number's, and that is what consumers can check
        near = np.abs(probas - said["threshold"]) <= TOLERANCE
        other_decision &= ~near
        other_decision |= (said["proba"] >= said["threshold"]) != said["prediction"]
        elsewhere = self._history.scored_elsewhere(partition, said["source"], self._versions)
        self.other_versions += int(elsewhere.sum())
        other_proba = ~(np.abs(probas - said["proba"]) <= TOLERANCE) & ~elsewhere
        left = np.full(len(said), True)
        for fault, these in zip(self.faults, (differs, other_model, other_decision, other_proba), strict=True):
            at_fault = left & these
            self.faults[fault] += int(at_fault.sum())
            for source in said["source"][at_fault][: NAMED_MAX - len(self.places)].tolist():
                self.places.append(f"{self._topic}-{partition}@{source}")
            left &= ~these
        self.same += int(left.sum())


def _other_observations(rows: PartitionRows) -> NDArray[np.bool_]:
    """Which predictions name the offset of an observation with another id, or of which they say something else."""
    mine, theirs = scored_observations(rows)
    observed, published = rows.observed[mine], rows.published[theirs]
    differs = np.zeros(len(rows.published), dtype=np.bool_)
    differs[theirs] = (observed["code"] != published["code"]) | (observed["id"] != published["id"])
    return differs
