"""Every metric of what outcomes say of candidates; shown by the worker that owns partition 0, for it adds up the lanes.

Invariant: a figure that is not known has no series, so that nobody takes a 0 for one; conditions are a closed set, and
how many candidates are told apart has a bound.
"""

from itertools import permutations
from typing import Final, get_args

from stream_scorer.core.rollout.contrasts import GROUPS_OF
from stream_scorer.core.rollout.rule import Decision
from stream_scorer.runtime.metrics.definitions import gauge, singles

# The canary, shadows and the champion before; further shadows are not shown
CANDIDATES_SHOWN_MAX: Final = 4

DECISIONS: Final[tuple[str, ...]] = get_args(Decision)
GUARDS: Final = ("calibration", "coverage")
CONDITIONS: Final = (
    *("gain", "success_rate", "recall", "recent"),
    *(f"gap_{one}-{other}" for groups in GROUPS_OF.values() for one, other in permutations(groups, 2)),
)
_BY_CONDITION: Final = singles(CONDITIONS)

CANDIDATE_OUTCOMES = gauge(
    "candidate_outcomes", "records", "Outcomes that all lanes have counted for a candidate", models=CANDIDATES_SHOWN_MAX
)
CANDIDATE_SCORED = gauge(
    "candidate_scored",
    "records",
    "Observations that champion and candidate both spoke of, as all lanes have counted",
    models=CANDIDATES_SHOWN_MAX,
)
CANDIDATE_EXPECTED = gauge(
    "candidate_expected_outcomes",
    "records",
    "Outcomes still to come until every condition is shown, if they look like those that came; none: not in sight",
    models=CANDIDATES_SHOWN_MAX,
)
CANDIDATE_DECISION = gauge(
    "candidate_decision",
    "1",
    "1 for what follows from the evidence: `promote`, shown better; `withdraw`, a harm is shown or no gain is in "
    "sight; `suspend`, a guard holds and nobody decides",
    "decision",
    of=singles(DECISIONS),
    models=CANDIDATES_SHOWN_MAX,
)
CANDIDATE_GUARD = gauge(
    "candidate_guard",
    "1",
    "1 where outcomes can't compare champion and candidate: they are far from the champion's probabilities "
    "(`calibration`), or what the models say decides who gets one (`coverage`)",
    "guard",
    of=singles(GUARDS),
    models=CANDIDATES_SHOWN_MAX,
)
CONDITION_VALUE = gauge(
    "candidate_condition_value",
    "1",
    "What was found of each condition; none: too few outcomes",
    "condition",
    of=_BY_CONDITION,
    models=CANDIDATES_SHOWN_MAX,
)
CONDITION_LOW = gauge(
    "candidate_condition_low",
    "1",
    "Lower bound of what was found, at all looks together",
    "condition",
    of=_BY_CONDITION,
    models=CANDIDATES_SHOWN_MAX,
)
CONDITION_HIGH = gauge(
    "candidate_condition_high",
    "1",
    "Upper bound of what was found, at all looks together",
    "condition",
    of=_BY_CONDITION,
    models=CANDIDATES_SHOWN_MAX,
)
CONDITION_BOUND = gauge(
    "candidate_condition_bound",
    "1",
    "Where it must be shown to lie: a gap at or below, anything else at or above",
    "condition",
    of=_BY_CONDITION,
    models=CANDIDATES_SHOWN_MAX,
)
CONDITION_SHOWN = gauge(
    "candidate_condition_shown",
    "1",
    "1 where a condition is shown; none: too few outcomes to judge it",
    "condition",
    of=_BY_CONDITION,
    models=CANDIDATES_SHOWN_MAX,
)
CONDITION_OPPOSED = gauge(
    "candidate_condition_opposed",
    "1",
    "1 where its opposite is shown; none: too few outcomes to judge it",
    "condition",
    of=_BY_CONDITION,
    models=CANDIDATES_SHOWN_MAX,
)

EVIDENCE_CATALOGUE: Final = (
    CANDIDATE_OUTCOMES,
    CANDIDATE_SCORED,
    CANDIDATE_EXPECTED,
    CANDIDATE_DECISION,
    CANDIDATE_GUARD,
    CONDITION_VALUE,
    CONDITION_LOW,
    CONDITION_HIGH,
    CONDITION_BOUND,
    CONDITION_SHOWN,
    CONDITION_OPPOSED,
)
