"""What became of control records on every lane, from the switch records that workers write.

Invariant: a lane is where its own last records say, and nowhere else: what a worker intends is not looked at.
"""

from collections.abc import Iterable
from typing import Literal

import msgspec

from stream_scorer.core.records.model_control import DeployedModels
from stream_scorer.core.records.model_switch import ModelSwitch, decode_switch
from stream_scorer.operations.reading.topic_position import TopicPosition
from stream_scorer.operations.reading.topic_reader import Reader, Record

LaneState = Literal["waiting", "ready", "serving", "refused", "suspended"]


class LaneRolloutStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One lane. `state`: how far it is with the control record in force; `waiting`: it has said nothing of it.
    `serving`: the last switch that says which models score there, None where none does yet. `reason`: why one of them
    was refused or suspended; `model`: which."""

    partition: int
    state: LaneState
    serving: ModelSwitch | None
    last: ModelSwitch | None

    @property
    def reason(self) -> str:
        return self.last.reason if self.last is not None and self.state in ("refused", "suspended") else ""

    @property
    def model(self) -> str:
        return self.last.model if self.last is not None and self.state in ("refused", "suspended") else ""

    def has_loaded(self, digest: str) -> bool:
        """Whether a model is loaded there: it scores, or is ready to."""
        loaded = [self.serving] if self.serving is not None else []
        if self.last is not None and self.state == "ready":
            loaded.append(self.last)
        is_refused = self.state == "refused" and self.model.endswith("@" + digest[:12])
        return not is_refused and any(digest in digests_of(switch.models) for switch in loaded)


class LaneSwitches:
    """The topic of switches, as far as it was read."""

    def __init__(self, topic: str) -> None:
        self._position = TopicPosition(topic, stable=True)
        self._last: dict[int, ModelSwitch] = {}
        self._serving: dict[int, ModelSwitch] = {}
        self.passed_over = 0

    async def refresh(self, reader: Reader) -> None:
        """Read on; records that no worker wrote are passed over and counted."""
        async for partition, records in self._position.read_on(reader):
            self._note(partition, records)

    def _note(self, partition: int, records: Iterable[Record]) -> None:
        for record in records:
            switch = decode_switch(record.value)
            if switch is None or switch.partition != partition:
                self.passed_over += 1
                continue
            self._last[partition] = switch
            if switch.state in ("serving", "suspended"):
                self._serving[partition] = switch

    def lanes(self, control_offset: int | None) -> list[LaneRolloutStatus]:
        """Every lane, and how far it is with that control record."""
        found = []
        for partition in range(self._position.partitions):
            last, serving = self._last.get(partition), self._serving.get(partition)
            state: LaneState = "waiting"
            if last is not None and last.control_offset == control_offset:
                state = last.state
            found.append(LaneRolloutStatus(partition=partition, state=state, serving=serving, last=last))
        return found


def digests_of(models: DeployedModels) -> set[str]:
    """The digests of all models that are loaded."""
    others = (models.canary, models.previous, *models.shadows)
    return {models.champion.digest, *(model.digest for model in others if model is not None)}
