"""Realistic stops, some of them broken, and what their searches found.

Invariant: one seed, one stream, on every machine and version.
"""

from collections.abc import Iterator
from itertools import count, islice
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream_scorer.core.contract.columns import COLUMN_NAMES, Observation
from stream_scorer.core.contract.observation_code import column_indices
from stream_scorer.core.contract.reasons import Code
from stream_scorer.models.dataframes import POSSIBLE_VALUES, codes_from, codes_of_frame, frame_of
from stream_scorer.models.synthetic.invalid_events import FAULTS
from stream_scorer.models.synthetic.population import Indices, load_profile

if TYPE_CHECKING:
    import pandas as pd

EVENTS_AT_ONCE = 8_192
UNIFORMS_EACH = 9  # an observation takes nine uniform numbers: 10 and then 20 observations are the first 30


class GeneratedEvent(NamedTuple):
    """An event to send, what its search will find, and the first code of what is wrong with it (None: it is valid)."""

    id: str
    value: bytes
    true_class: bool
    broken: Code | None


class SyntheticEvent(msgspec.Struct, gc=False):
    id: str
    observation: Observation


class Generator:
    """A stream of stops. Outcomes and faults have streams of their own, so asking for them changes no observation."""

    def __init__(self, seed: int) -> None:
        self.profile = load_profile()
        self._stops, self._outcomes, self._faults = (np.random.PCG64([seed, stream]) for stream in range(3))

    def observations(self, n: int) -> "pd.DataFrame":
        """The next `n` observations, a frame of the ten columns."""
        return frame_of(self.codes(n))

    def outcomes(self, frame: "pd.DataFrame") -> NDArray[np.bool_]:
        """For each observation whether a search finds contraband, drawn again at each call."""
        return self.outcomes_of(codes_of_frame(frame))

    def codes(self, n: int) -> NDArray[np.int64]:
        """The next `n` observations as 28-bit numbers."""
        profile, u = self.profile, uniforms(self._stops, n * UNIFORMS_EACH).reshape(n, UNIFORMS_EACH).T
        everybody = np.zeros(n, dtype=np.intp)
        pair = profile.race_and_ethnicity.draw(everybody, u[0])
        race, ethnicity = profile.race[pair], profile.ethnicity[pair]
        day = profile.day.draw(everybody, u[1])
        hour = profile.hour.draw(day, u[2])
        night = profile.night[hour]
        statute = profile.statute.draw(night, u[3])
        columns = {
            "SubjectRaceCode": race,
            "SubjectSexCode": profile.sex.draw(race, u[4]),
            "SubjectEthnicityCode": ethnicity,
            "StatuteReason": statute,
            "InterventionReasonCode": profile.reason.draw(statute, u[5]),
            "ResidentIndicator": profile.resident.draw(race, u[6]),
            "SubjectAge": profile.age.draw(statute * 2 + night, u[7]),
            "hour": hour,
            "day_of_week": day,
        }
        columns["SearchAuthorizationCode"] = self._authorizations(columns | {"time_of_day": night}, u[8])
        return codes_from(np.stack([columns[name] for name in COLUMN_NAMES]))

    def _authorizations(self, columns: dict[str, Indices], u: NDArray[np.float64]) -> Indices:
        weights = np.tile(self.profile.authorization, (len(u), 1))
        for name, table in self.profile.authorization_given.items():
            weights *= table[columns[name]]
        cumulative = np.cumsum(weights, axis=1)
        return np.asarray((u[:, None] * cumulative[:, -1:] >= cumulative[:, :-1]).sum(axis=1))

    def outcomes_of(self, codes: NDArray[np.int64]) -> NDArray[np.bool_]:
        """As `outcomes`, from 28-bit numbers."""
        tables, indices = self.profile.contraband_logit, column_indices(codes)
        logit = np.sum([table[index] for table, index in zip(tables, indices, strict=True)], axis=0)
        return np.asarray(uniforms(self._outcomes, len(codes)) < 1 / (1 + np.exp(-logit)))

    def events(self, n: int, broken_share: float = 0.03, id_prefix: str = "ev-") -> Iterator[GeneratedEvent]:
        """The next `n` stops as events; about `broken_share` of them break the contract, each in one of the ways that
        producers do."""
        numbers = count()
        for start in range(0, n, EVENTS_AT_ONCE):
            size = min(EVENTS_AT_ONCE, n - start)
            codes = self.codes(size)
            ids = [f"{id_prefix}{number:08d}" for number in islice(numbers, size)]
            yield from self._chunk(ids, codes, self.outcomes_of(codes), broken_share)

    def _chunk(
        self, ids: list[str], codes: NDArray[np.int64], classes: NDArray[np.bool_], broken_share: float
    ) -> Iterator[GeneratedEvent]:
        chance, kind = uniforms(self._faults, 2 * len(ids)).reshape(len(ids), 2).T
        kinds = np.where(chance < broken_share, (kind * len(FAULTS)).astype(np.intp), -1).tolist()
        columns = (values[index].tolist() for values, index in zip(POSSIBLE_VALUES, column_indices(codes), strict=True))
        encode = msgspec.json.Encoder().encode
        for id_, values, true_class, broken in zip(
            ids, zip(*columns, strict=True), classes.tolist(), kinds, strict=True
        ):
            event = SyntheticEvent(id_, Observation(*values))
            if broken < 0:
                yield GeneratedEvent(id_, encode(event), true_class, None)
            else:
                code, break_it = FAULTS[broken]
                yield GeneratedEvent(id_, break_it(msgspec.to_builtins(event)), true_class, code)


def uniforms(bits: np.random.PCG64, n: int) -> NDArray[np.float64]:
    """`n` numbers in [0, 1) of 32 bits each. Made from the raw stream, which numpy promises not to change; its
    distributions may."""
    return np.asarray((bits.random_raw(n) >> np.uint64(32)) * 2.0**-32)
