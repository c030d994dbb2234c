"""Control records: which models should serve in an environment, and what is asked of a candidate.

Invariant: a record says everything that a worker needs to serve, so that no two workers decide differently; what its
setting of a threshold is does not matter.
"""

from enum import StrEnum
from typing import Annotated, Final, Literal

import msgspec

from stream_scorer.core.records.decode import Count, Offset, PartitionNumber, decode_or_none

FORMAT: Final = 1
DIGEST_DIGITS: Final = 12  # of a digest's 64, in the name that predictions carry

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Digest = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
ModelName = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Salt = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")]


class ControlAct(StrEnum):
    """What a control record does. `auto`: an earlier act's test gets or loses the right to decide by itself."""

    DEPLOY = "deploy"
    SHARE = "share"
    PROMOTE = "promote"
    ROLLBACK = "rollback"
    WITHDRAW = "withdraw"
    STOP = "stop"
    AUTO = "auto"


class ServedModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model that should be loaded, and the probability from which on its prediction is true."""

    name: ModelName
    digest: Digest
    threshold: Share

    @property
    def label(self) -> str:
        """As predictions name it: `<name>@<first digits of the digest>`."""
        return f"{self.name}@{self.digest[:DIGEST_DIGITS]}"


class Canary(ServedModel, frozen=True, kw_only=True):
    """A model whose predictions are the published ones for a share of the ids. `salt`: 16 random bytes in hexadecimal,
    the same while the share changes."""

    share: Share
    salt: Salt


class DeployedModels(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who serves. `previous`: the champion before, kept loaded for a roll-back."""

    champion: ServedModel
    canary: Canary | None = None
    shadows: tuple[ServedModel, ...] = ()
    previous: ServedModel | None = None


class Contrast(msgspec.Struct, frozen=True):
    """Two groups of one column whose discovery rates are compared: `minuend` less `subtrahend`."""

    column: Literal["SubjectRaceCode", "SubjectSexCode", "SubjectEthnicityCode"]
    minuend: str
    subtrahend: str

    def __str__(self) -> str:
        return f"{self.minuend}-{self.subtrahend}"


CONTRASTS: Final = (
    Contrast("SubjectRaceCode", "W", "B"),
    Contrast("SubjectSexCode", "M", "F"),
    Contrast("SubjectEthnicityCode", "H", "N"),
)


class AcceptanceTest(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of a candidate, fixed when it is deployed. `floor`: of the success rate. Margins are shares: 0.02
    is two points. `auto`: the judge may promote and withdraw by itself, once."""

    alpha: Annotated[float, msgspec.Meta(gt=0, lt=0.5)] = 0.05
    floor: Share = 0.5
    success_rate_margin: Share = 0.02
    recall_margin: Share = 0.03
    gap_max: Share = 0.05
    gain_min: Share = 0.005
    calibration_margin: Share = 0.05
    coverage_margin: Share = 0.2
    contrasts: tuple[Contrast, ...] = CONTRASTS
    auto: bool = False


class EvidencePosition(msgspec.Struct, frozen=True):
    """Where a lane's last evidence record of a pair stands in the topic of evidence."""

    partition: PartitionNumber
    offset: Offset


class ConditionVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """What was found of one condition, as `core/rollout/rule.py` has it."""

    name: str
    value: float
    shown: bool
    opposed: bool
    judged: bool


class DecisionEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """What the judge decided by: the sums over the lanes' last evidence records of a pair, which stand at `records`.
    From these counts and the control record's test the rule gives the same verdict again.

    `candidates`: how many shared the errors. `outcomes`, `scored`, `residual_sum`, `residual_squares`: as in evidence
    records; `recent`: how many of the last outcomes fell into each cell. `futile`: no gain is in sight.
    """

    champion: ServedModel
    candidate: ServedModel
    candidates: Annotated[int, msgspec.Meta(ge=1)]
    records: tuple[EvidencePosition, ...]
    outcomes: tuple[Count, ...]
    recent: tuple[Count, ...]
    scored: tuple[Count, ...]
    residual_sum: float
    residual_squares: float
    futile: bool
    conditions: tuple[ConditionVerdict, ...]


class ModelControl(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One act on the models of an environment. `based_on`: the offset of the last record that counted, None where none
    did; a record that is based on another one does not count. `evidence`: what the judge decided by, None where a
    person did."""

    format: Annotated[int, msgspec.Meta(ge=1)]
    environment: str
    based_on: Offset | None
    act: ControlAct
    models: DeployedModels
    test: AcceptanceTest
    who: str
    at: str
    why: str = ""
    evidence: DecisionEvidence | None = None

    @property
    def key(self) -> bytes:
        """The key of its record."""
        return self.environment.encode()


def environment_of(topic_prefix: str) -> str:
    """What control records call the environment whose topics have this prefix."""
    return topic_prefix.rstrip(".-_") or "default"


class _Head(msgspec.Struct):
    format: Count


class UnknownFormat(msgspec.Struct, frozen=True):
    """A control record of a later version: what it asks for can't be known here."""

    format: int


encode_control: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(ModelControl).decode
_decode_head: Final = msgspec.json.Decoder(_Head).decode


def decode_control(value: bytes | None) -> ModelControl | UnknownFormat | None:
    """The control record that these bytes are; None where they are none at all."""
    head = decode_or_none(_decode_head, value)
    if head is not None and head.format > FORMAT:
        return UnknownFormat(head.format)
    return decode_or_none(_decode, value)
