"""The published figures of real stops, as the tables that the generator draws from.

Invariant: figures come from `profile.json`, nowhere else.
"""

from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream_scorer.core.contract.columns import COLUMN_NAMES, COLUMNS

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

DOMAINS = {column.name: column.domain for column in COLUMNS}
AGES = np.array(DOMAINS["SubjectAge"])
HOURS_A_DAY = 24


class Shares:
    """For each group the shares of some values, ready to be drawn from."""

    def __init__(self, weights: Floats) -> None:
        """`weights`: shape (groups, values), any positive scale."""
        groups, self.values = weights.shape
        cumulative = np.cumsum(weights, axis=1)
        cumulative /= cumulative[:, -1:]
        cumulative[:, -1] = 1.0
        # One sorted line for all groups, each group one unit along: a draw is a binary search, whatever the number of
        # groups.
        self.line = (cumulative + np.arange(groups)[:, None]).ravel()

    def draw(self, groups: Indices, uniforms: Floats) -> Indices:
        """A value's index for each group's index and uniform number in [0, 1), which must leave bits for the groups (32
        do)."""
        found: Indices = np.searchsorted(self.line, groups + uniforms, side="right") - groups * self.values
        return found


class Profile(NamedTuple):
    """Tables in the order of each column's domain. A stop's time of day is 0 by day, 1 at night."""

    race_and_ethnicity: Shares
    race: Indices
    ethnicity: Indices
    sex: Shares  # by race
    resident: Shares  # by race
    day: Shares
    hour: Shares  # by day
    night: Indices  # by hour: the time of day
    statute: Shares  # by time of day
    age: Shares  # by statute, then time of day
    reason: Shares  # by statute
    authorization: Floats  # what any stop starts from
    authorization_given: dict[str, Floats]  # by a column's index, and by `time_of_day`
    contraband_logit: tuple[Floats, ...]  # ten tables, to be added up; the first one holds the intercept


@cache
def load_profile() -> Profile:
    """The packaged figures as tables; read once."""
    figures: dict[str, Any] = msgspec.json.decode((files(__package__) / "profile.json").read_bytes())
    races, statutes, days = DOMAINS["SubjectRaceCode"], DOMAINS["StatuteReason"], DOMAINS["day_of_week"]
    pairs = [pair.split("|") for pair in figures["race_and_ethnicity"]]
    night = np.zeros(len(DOMAINS["hour"]), dtype=np.intp)
    night[figures["night_hours"]] = 1
    return Profile(
        race_and_ethnicity=Shares(np.array([list(figures["race_and_ethnicity"].values())])),
        race=np.array([races.index(race) for race, _ in pairs]),
        ethnicity=np.array([DOMAINS["SubjectEthnicityCode"].index(ethnicity) for _, ethnicity in pairs]),
        sex=Shares(share_table(figures["sex_given_race"], races, "SubjectSexCode")),
        resident=Shares(share_table(figures["resident_given_race"], races, "ResidentIndicator")),
        day=Shares(share_table({"any": figures["day_of_week"]}, ("any",), "day_of_week")),
        hour=Shares(np.array([figures["hour_given_day_of_week"][day] for day in days])),
        night=night,
        statute=Shares(share_table(figures["statute_given_time_of_day"], ("day", "night"), "StatuteReason")),
        age=Shares(age_weights(figures)),
        reason=Shares(share_table(figures["reason_given_statute"], statutes, "InterventionReasonCode")),
        authorization=np.array(figures["authorization_weights"]["any"])[authorization_order(figures)],
        authorization_given=authorization_weights(figures),
        contraband_logit=contraband_tables(figures["contraband_logit"]),
    )


def share_table(by_group: dict[str, dict[str, float]], groups: tuple[object, ...], column: str) -> Floats:
    """The shares as an array: a row a group, a column for each value of the domain; what is not named is 0."""
    return np.array([[by_group[str(group)].get(str(value), 0.0) for value in DOMAINS[column]] for group in groups])


def bins(starts: list[int], values: Indices) -> Indices:
    return np.searchsorted(starts, values, side="right") - 1


def age_weights(figures: dict[str, Any]) -> Floats:
    """Shape (statutes × 2, ages): the bin's share given both, taken as if statute and time of day acted each on its
    own, times the share of an age within its bin."""
    by_statute = np.array([figures["age_bin_given_statute"][statute] for statute in DOMAINS["StatuteReason"]])
    by_time = np.array([figures["age_bin_given_time_of_day"][time] for time in ("day", "night")])
    by_both = by_statute[:, None, :] * by_time / by_time.mean(axis=0)
    single_years = np.array(figures["age_from_10"])
    bin_of = bins(figures["age_bin_starts"], AGES)
    within = single_years / np.bincount(bin_of, single_years)[bin_of]
    return np.asarray((by_both[:, :, bin_of] * within).reshape(-1, len(AGES)))


def authorization_order(figures: dict[str, Any]) -> list[int]:
    return [figures["authorizations"].index(value) for value in DOMAINS["SearchAuthorizationCode"]]


def authorization_weights(figures: dict[str, Any]) -> dict[str, Floats]:
    """For each column that bears on the authorization, weights of shape (values, authorizations)."""
    order, weights = authorization_order(figures), figures["authorization_weights"]
    given = {
        name: np.array([weights[name][str(value)] for value in DOMAINS[name]])[:, order]
        for name in weights.keys() & DOMAINS.keys() - {"SubjectAge"}
    }
    given["time_of_day"] = np.array([weights["time_of_day"][time] for time in ("day", "night")])[:, order]
    by_bin = np.array(list(weights["SubjectAge"].values()))[:, order]
    given["SubjectAge"] = by_bin[bins(figures["authorization_age_bin_starts"], AGES)]
    # A set's order differs from run to run, and with it the last bit of a product.
    return {name: given[name] for name in sorted(given)}


def contraband_tables(logit: dict[str, Any]) -> tuple[Floats, ...]:
    by_name = {
        name: np.array([logit[name].get(str(value), 0.0) for value in DOMAINS[name]])
        for name in COLUMN_NAMES
        if isinstance(logit[name], dict)
    }
    by_name["SubjectAge"] = np.array(logit["SubjectAge"])[bins(logit["age_bin_starts"], AGES)]
    hours = np.minimum(
        np.array(DOMAINS["hour"]), HOURS_A_DAY - 1
    )  # 24, which nobody counted, is taken as the day's last hour
    by_name["hour"] = np.array(logit["hour"])[bins(logit["hour_bin_starts"], hours)]
    first, *others = (by_name[name] for name in COLUMN_NAMES)
    return (first + logit["intercept"], *others)
