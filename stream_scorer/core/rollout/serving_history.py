"""Which models served at which offset, as the switch records tell it.

Invariant: what a switch says holds from its first offset on until the next one's, so every observation has one model.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

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
        self._switches: dict[int, list[ModelSwitch]] = {}
        for switch in switches:
            if switch.state not in _SCORING:
                continue
            begins = self._begins.setdefault(switch.partition, [])
            kept = self._switches.setdefault(switch.partition, [])
            # a later record about the same offset, or an earlier one, says it anew
            while begins and begins[-1] >= switch.first.observations:
                begins.pop()
                kept.pop()
            begins.append(switch.first.observations)
            kept.append(switch)

    def __bool__(self) -> bool:
        return bool(self._begins)

    def models_at(self, partition: int, offset: int) -> DeployedModels | None:
        """The models that served at this offset; None before the partition's first switch."""
        place = bisect_right(self._begins.get(partition, ()), offset)
        return self._switches[partition][place - 1].models if place else None

    def scored_elsewhere(
        self, partition: int, offsets: NDArray[np.int64], versions: Mapping[str, str]
    ) -> NDArray[np.bool_]:
        """Which of these offsets, shape (n,) in and out, were scored with other versions of the libraries than these;
        none before the partition's first switch."""
        others = [False, *(switch.versions != versions for switch in self._switches.get(partition, ()))]
        place = np.searchsorted(self._begins.get(partition, []), offsets, side="right")
        return np.array(others, dtype=np.bool_)[place]


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
