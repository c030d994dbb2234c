"""Switch records: from which offsets on which models served a partition.

Invariant: `serving` stands in the transaction of the first batch that those models scored, so the log can be read again
with the same model for every offset.
"""

from typing import Annotated, Final, Literal

import msgspec

from stream_scorer.core.records.decode import Offset, PartitionNumber, decode_or_none
from stream_scorer.core.records.model_control import FORMAT, DeployedModels

SwitchState = Literal["ready", "serving", "refused", "suspended"]


class FirstOffsets(msgspec.Struct, frozen=True):
    """The first offset of each input that a switch is about."""

    observations: Offset
    outcomes: Offset


class ModelSwitch(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of a control record on one partition.

    `serving`, `suspended`: `models` score from `first` on. `ready`: they are loaded, and score from the next batch on.
    `refused`: the control record's `models`, of which one can't be loaded. `control_offset`: of that record, None where
    the models come from the worker's own settings. `versions`: of the libraries that score. `model`: which one was
    refused or suspended, as predictions name it; `reason`: why.
    """

    format: Annotated[int, msgspec.Meta(ge=1)] = FORMAT
    partition: PartitionNumber
    control_offset: Offset | None
    state: SwitchState
    first: FirstOffsets = msgspec.field(name="from")
    models: DeployedModels
    versions: dict[str, str]
    worker: str
    at: str
    model: str = ""
    reason: str = ""

    @property
    def key(self) -> bytes:
        """The key of its record."""
        return str(self.partition).encode()


encode_switch: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(ModelSwitch).decode


def decode_switch(value: bytes | None) -> ModelSwitch | None:
    """The switch that these bytes are; None where they are none."""
    return decode_or_none(_decode, value)
