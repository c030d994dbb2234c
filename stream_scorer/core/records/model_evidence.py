"""Evidence records: what a lane's outcomes say of a champion and a candidate, from the candidate's first stop on.

Invariant: counts are cumulative, so that of a lane's records of a pair the last one says everything.
"""

from math import prod
from typing import Annotated, Final

import msgspec

from stream_scorer.core.contract.columns import COLUMNS
from stream_scorer.core.records.decode import Offset, PartitionNumber, TimeText, decode_or_none
from stream_scorer.core.records.model_control import FORMAT, ServedModel
from stream_scorer.core.records.model_switch import FirstOffsets

CELLS: Final = 8
GROUPS: Final = prod(len(column.domain) for column in COLUMNS[:3])  # race, sex and ethnicity
SINGLE_GROUPS: Final = sum(len(column.domain) for column in COLUMNS[:3])
TENTHS: Final = 10  # of a probability
SCORES: Final = 2 * SINGLE_GROUPS * TENTHS
CALIBRATION: Final = SCORES * 2
RECENT_OUTCOMES: Final = 2_000
GAPS_MAX: Final = 64

Number = Annotated[int, msgspec.Meta(ge=0, lt=1 << 44)]
Difference = Annotated[int, msgspec.Meta(gt=-(1 << 44), lt=1 << 44)]
GroupCounts = Annotated[tuple[Number, ...], msgspec.Meta(min_length=GROUPS * CELLS, max_length=GROUPS * CELLS)]
GroupDifferences = Annotated[tuple[Difference, ...], msgspec.Meta(min_length=GROUPS * CELLS, max_length=GROUPS * CELLS)]
ScoreCounts = Annotated[tuple[Number, ...], msgspec.Meta(min_length=SCORES, max_length=SCORES)]
CalibrationCounts = Annotated[tuple[Number, ...], msgspec.Meta(min_length=CALIBRATION, max_length=CALIBRATION)]
Gaps = Annotated[tuple[tuple[Offset, Offset], ...], msgspec.Meta(max_length=GAPS_MAX)]
RecentText = Annotated[str, msgspec.Meta(pattern=f"^[0-7]{{0,{RECENT_OUTCOMES}}}$")]


class ModelEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """One lane's evidence of one pair.

    `first`: from which offsets on it was counted, the candidate's; `next`: behind what was counted. `outcomes`: counts
    by race, sex, ethnicity and cell, the last axis fastest; a cell is champion says · 4 + candidate says · 2 + outcome.
    `recent`: the cells of the last outcomes, one digit each, oldest first. `scored`: stops that both spoke of, by
    champion says · 2 + candidate says. `residual_sum`, `residual_squares`: of outcome less champion's probability.
    `gaps`: stretches of observations behind `first`, from one offset to before another, that are not among the scored:
    the pair did not serve, or what was counted of them was lost. Their outcomes don't count either. Absent where
    there are none.
    `corrections`: what later revisions add to each count of `outcomes`, below 0 where they take away; absent where
    none came. The rule decides by first revisions, so that nobody's correction turns a verdict round.

    For drawings, absent from records of earlier versions: `scores`, counts of those stops by model (champion,
    candidate), group (each race, each sex, each ethnicity) and tenth of its probability, the last axis fastest;
    `calibration`, of joined outcomes by the same and by what is counted: outcomes, and those that were true.
    """

    format: Annotated[int, msgspec.Meta(ge=1)] = FORMAT
    partition: PartitionNumber
    champion: ServedModel
    candidate: ServedModel
    first: FirstOffsets = msgspec.field(name="from")
    next: FirstOffsets
    outcomes: GroupCounts
    recent: RecentText
    scored: Annotated[tuple[Number, ...], msgspec.Meta(min_length=4, max_length=4)]
    residual_sum: float
    residual_squares: Annotated[float, msgspec.Meta(ge=0)]
    worker: str
    at: TimeText
    scores: ScoreCounts | msgspec.UnsetType = msgspec.UNSET
    calibration: CalibrationCounts | msgspec.UnsetType = msgspec.UNSET
    gaps: Gaps | msgspec.UnsetType = msgspec.UNSET
    corrections: GroupDifferences | msgspec.UnsetType = msgspec.UNSET

    @property
    def key(self) -> bytes:
        """The key of its record: `<champion>/<candidate>`, as predictions name them."""
        return f"{self.champion.label}/{self.candidate.label}".encode()


encode_evidence: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(ModelEvidence).decode


def decode_evidence(value: bytes | None) -> ModelEvidence | None:
    """The evidence that these bytes are; None where they are none, or of a later version."""
    evidence = decode_or_none(_decode, value)
    return evidence if evidence is not None and evidence.format <= FORMAT else None
