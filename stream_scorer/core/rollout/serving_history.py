"""Which models served at which offset, as the switch records tell it.

Invariant: what a switch says holds from its first offset on until the next one's, so every observation has one model.
"""

from bisect import bisect_right
from collections.abc import Iterable
from typing import Final

from stream_scorer.core.records.model_control import DeployedModels
from stream_scorer.core.records.model_switch import ModelSwitch
from stream_scorer.core.records.prediction import ModelIdentity
from stream_scorer.core.rollout.assignment import canary_ids

# the switches after which other models score
_SCORING: Final = frozenset(("serving", "suspended"))


class ServingHistory:
    """The switches of all partitions, in the order in which each partition's were written."""

    def __init__(self, switches: Iterable[ModelSwitch]) -> None:
        self._begins: dict[int, list[int]] = {}
        self._models: dict[int, list[DeployedModels]] = {}
        for switch in switches:
            if switch.state not in _SCORING:
                continue
            begins = self._begins.setdefault(switch.partition, [])
            models = self._models.setdefault(switch.partition, [])
            # a later record about the same offset, or an earlier one, says it anew
            while begins and begins[-1] >= switch.first.observations:
                begins.pop()
                models.pop()
            begins.append(switch.first.observations)
            models.append(switch.models)

    def __bool__(self) -> bool:
        return bool(self._begins)

    def models_at(self, partition: int, offset: int) -> DeployedModels | None:
        """The models that served at this offset; None before the partition's first switch."""
        place = bisect_right(self._begins.get(partition, ()), offset)
        return self._models[partition][place - 1] if place else None


def expected_at(history: ServingHistory, partition: int, offset: int, id_: bytes) -> ModelIdentity | None:
    """Who should have scored the observation of this id at this offset; None before the partition's first switch."""
    models = history.models_at(partition, offset)
    if models is None:
        return None
    canary = models.canary
    if canary is not None and canary_ids(bytes.fromhex(canary.salt), [id_], canary.share)[0]:
        return ModelIdentity(canary.label, "canary", canary.threshold)
    champion = models.champion
    return ModelIdentity(champion.label, "champion", champion.threshold)
