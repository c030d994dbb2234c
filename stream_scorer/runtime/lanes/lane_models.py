"""Which models serve one lane, and what its topic of switches is told.

Invariant: what a batch is scored by stands in the topic of switches, in the transaction of the first batch that it
scored; a lane never goes back behind a control record that served it. For one control record a lane's models only get
fewer: what was refused or suspended there comes back with another control record.
"""

from collections.abc import Sequence
from typing import Final

from stream_scorer.core.records.model_control import DeployedModels
from stream_scorer.core.records.model_switch import FirstOffsets, ModelSwitch, SwitchState, encode_switch
from stream_scorer.core.records.record import ProducerRecord
from stream_scorer.core.records.timestamps import rfc3339
from stream_scorer.errors import RolloutError
from stream_scorer.models.artifacts.model_card import library_versions
from stream_scorer.runtime.lanes.batch import Suspension
from stream_scorer.runtime.rollout.model_rollout import ModelRollout
from stream_scorer.runtime.rollout.serving_models import ServingModels, models_of, same_ids

SERVES: Final = ("serving", "suspended")


class LaneModels:
    """One for each lane. `worker`: how this worker calls itself in switch records."""

    def __init__(self, partition: int, rollout: ModelRollout, worker: str) -> None:
        self._partition, self._rollout, self._worker = partition, rollout, worker
        self._versions = library_versions()
        self._last: ModelSwitch | None = None
        self._said_ready: int | None = None
        # by the control record that they were asked for by
        self._left_out: dict[str, int | None] = {}
        self._offered: tuple[ServingModels, ServingModels] | None = None
        self._announced: ServingModels | None = None
        self.topic = rollout.switches_topic

    async def open(self) -> None:
        """Look up what served the lane before, and wait until this worker is as far. Raises `RolloutError`."""
        self._last = last = await self._rollout.last_switch(self._partition)
        current = self._rollout.current
        if last is None or current is None or last.control_offset != current.control_offset:
            return
        if last.state == "ready":
            self._said_ready = last.control_offset
        if last.state != "refused" and last.control_offset is not None:
            kept = {model.digest for model in models_of(last.models)}
            for model in models_of(current.ids):
                if model.digest not in kept:
                    self._left_out[model.digest] = last.control_offset

    @property
    def refusal(self) -> RolloutError | None:
        """Why nothing may serve; None where something may."""
        return None if self._rollout.refused is None else self._rollout.refused.error

    def serving(self) -> ServingModels:
        """Who scores the lane's next batch."""
        current = self._rollout.current
        if current is None:
            raise RuntimeError("a lane is open before its models are loaded")
        if self._offered is None or self._offered[0] is not current:
            models = current
            for digest, control_offset in self._left_out.items():
                if control_offset == current.control_offset:
                    models = models.without(digest)
            self._offered = current, models
        return self._offered[1]

    def switched(
        self, models: ServingModels, first: FirstOffsets, suspensions: Sequence[Suspension], now_ms: int
    ) -> list[ProducerRecord]:
        """What is published with a batch that these models scored from these offsets on; most often nothing."""
        if models is self._announced and not suspensions:
            return []  # nearly every batch
        records = []
        if not self._is_served_by(models):
            records += self._refusals(models, first, now_ms)
            records.append(self._record("serving", models.control_offset, models.ids, first, now_ms))
        self._announced = models
        for suspension in suspensions:
            if suspension.digest not in {model.digest for model in models_of(models.ids)}:
                continue
            self._left_out[suspension.digest] = models.control_offset
            self._offered = None
            models = models.without(suspension.digest)
            records.append(
                self._record(
                    "suspended", models.control_offset, models.ids, first, now_ms, suspension.label, suspension.reason
                )
            )
        return records

    def ready(self, first: FirstOffsets, now_ms: int) -> list[ProducerRecord]:
        """What an idle lane publishes: that a control record's models are loaded, once."""
        models = self._rollout.current
        if models is None or models.control_offset is None:
            return []
        models = self.serving()
        if models is self._announced or self._said_ready == models.control_offset:
            return []
        if self._is_served_by(models):
            self._announced = models
            return []
        records = self._refusals(models, first, now_ms)
        self._said_ready = models.control_offset
        return [*records, self._record("ready", models.control_offset, models.ids, first, now_ms)]

    def refused(self, first: FirstOffsets, now_ms: int) -> list[ProducerRecord]:
        """What is published when the champion can't be loaded; nothing where the lane's topic says so already."""
        refusal = self._rollout.refused
        if refusal is None:
            return []
        (offset, control), last = refusal.in_force, self._last
        if last is not None and last.state == "refused" and last.control_offset == offset:
            return []
        champion = control.models.champion
        return [self._record("refused", offset, control.models, first, now_ms, champion.label, refusal.reason)]

    def _is_served_by(self, models: ServingModels) -> bool:
        last = self._last
        return (
            last is not None
            and last.state in SERVES
            and last.control_offset == models.control_offset
            and last.versions == self._versions
            and same_ids(last.models, models.ids)
        )

    def _refusals(self, models: ServingModels, first: FirstOffsets, now_ms: int) -> list[ProducerRecord]:
        """Of candidates that can't be loaded; the models in it are those that serve without them."""
        if self._said_ready == models.control_offset is not None:
            return []
        return [
            self._record("refused", models.control_offset, models.ids, first, now_ms, label, reason)
            for label, reason in models.refused.items()
        ]

    def _record(
        self,
        state: SwitchState,
        control_offset: int | None,
        ids: DeployedModels,
        first: FirstOffsets,
        now_ms: int,
        model: str = "",
        reason: str = "",
    ) -> ProducerRecord:
        switch = ModelSwitch(
            partition=self._partition,
            control_offset=control_offset,
            state=state,
            first=first,
            models=ids,
            versions=self._versions,
            worker=self._worker,
            at=rfc3339(now_ms),
            model=model,
            reason=reason,
        )
        if state in SERVES:
            self._last = switch
        return ProducerRecord(switch.key, encode_switch(switch), now_ms)
