"""When somebody is told about models in production: what outcomes show of candidates, and who serves where.

Invariant: what is shown of the former champion (role `previous`) alarms nobody but where it is shown to be better.
"""

from typing import Final

from stream_scorer.operations.monitoring.rules import Alert, RulePace, span
from stream_scorer.runtime.metrics import catalogue as catalogue
from stream_scorer.runtime.metrics import evidence_catalogue as evidence

# Evidence records come once a minute where a lane predicts; so many predictions of half an hour are not to be missed
STALLED_PREDICTIONS_MIN: Final = 1_000

# Within half an hour; the judge tries again every five seconds, and a broker that restarts costs it a few tries
JUDGE_FAILURES_MAX: Final = 30

CANDIDATE: Final = 'role!="previous"'
BY_CANDIDATE: Final = "job, model, role"


def rollout_alerts(pace: RulePace) -> tuple[Alert, ...]:
    return (*verdict_alerts(pace), *serving_alerts(pace))


def verdict_alerts(pace: RulePace) -> tuple[Alert, ...]:
    """What follows from the evidence. Where the judge may decide by itself it does so within the wait."""
    unfair = f'{evidence.CONDITION_OPPOSED.name}{{condition=~"gap_.+", {CANDIDATE}}}'
    half_hour = span(pace.half_hour_s)
    failed = f'{catalogue.JUDGE_EVENTS.name}{{event=~"missing_right|fault"}}'
    scored, predicted = evidence.CANDIDATE_SCORED.name, f'{catalogue.OBSERVATIONS.name}{{end="predicted"}}'
    served = f'max by ({BY_CANDIDATE}) ({catalogue.MODEL_LOADED.name}{{role=~"canary|shadow"}}) == 1'
    busy = f"sum by (job) (increase({predicted}[{half_hour}])) > {STALLED_PREDICTIONS_MIN}"
    return (
        Alert(
            "StreamScorerCandidateBetter",
            f'max by ({BY_CANDIDATE}) ({evidence.CANDIDATE_DECISION.name}{{decision="promote"}}) == 1',
            pace.minutes(15),
            "ticket",
            "{{ $labels.model }} ({{ $labels.role }}) is shown to be better than the champion",
            "Every condition is shown, by bounds that hold at all looks. Nobody has promoted it yet.",
        ),
        Alert(
            "StreamScorerCandidateWorse",
            f'max by ({BY_CANDIDATE}) ({evidence.CANDIDATE_DECISION.name}{{decision="withdraw", {CANDIDATE}}}) == 1\n'
            f"unless max by ({BY_CANDIDATE}) ({unfair}) == 1",
            pace.minutes(15),
            "ticket",
            "{{ $labels.model }} ({{ $labels.role }}) is shown to be worse than the champion, or no better",
            "The opposite of a condition is shown, or that no gain worth a change is in sight. Nobody has withdrawn it "
            "yet.",
        ),
        Alert(
            "StreamScorerCandidateUnfair",
            f"max by ({BY_CANDIDATE}, condition) ({unfair}) == 1",
            "0s",
            "ticket",
            "{{ $labels.model }} ({{ $labels.role }}) is shown to be unfair ({{ $labels.condition }})",
            "Its discovery rates of two groups lie further apart than allowed, and further than the champion's.",
        ),
        Alert(
            "StreamScorerVerdictSuspended",
            f"max by ({BY_CANDIDATE}, guard) ({evidence.CANDIDATE_GUARD.name}{{{CANDIDATE}}}) == 1",
            "0s",
            "ticket",
            "Outcomes can't compare {{ $labels.model }} ({{ $labels.role }}) with the champion ({{ $labels.guard }})",
            "Which stops get an outcome depends on what the models say, or they are others than the champion was made "
            "for. Nothing is decided while that holds.",
        ),
        Alert(
            "StreamScorerJudgeFails",
            f"sum by (job, event) (increase({failed}[{half_hour}])) > {JUDGE_FAILURES_MAX}",
            "0s",
            "ticket",
            "The judge can't do its work ({{ $labels.event }})",
            "Scoring goes on; a candidate that is shown to be better or worse stays as it is until a person acts.",
        ),
        Alert(
            "StreamScorerEvidenceStalled",
            f'((max by ({BY_CANDIDATE}) ({scored}{{role=~"canary|shadow"}})\n'
            f'  <= max by ({BY_CANDIDATE}) ({scored}{{role=~"canary|shadow"}} offset {half_hour}))\n'
            f"or ({served} unless on ({BY_CANDIDATE}) {scored}))\n"
            f"and on (job) {busy}",
            pace.minutes(15),
            "ticket",
            "Evidence for {{ $labels.model }} ({{ $labels.role }}) does not grow",
            "Observations are predicted, and no lane says what the candidate makes of them, or nobody adds the lanes "
            "up.",
        ),
    )


def serving_alerts(pace: RulePace) -> tuple[Alert, ...]:
    """Who serves where."""
    champions = f'{catalogue.MODEL_LOADED.name}{{role="champion"}} == 1'
    differ = f"count by (job) (count by (job, model) ({champions})) > 1"
    # before a worker is ready, its gauge says nothing
    followed = f"({catalogue.CONTROL_OFFSET.name} and on (job, instance) {catalogue.READY.name} == 1)"
    return (
        Alert(
            "StreamScorerModelSuspended",
            f"sum by (job) (increase({catalogue.SUSPENSIONS.name}[{span(pace.hour_s)}])) > 0",
            "0s",
            "ticket",
            "{{ $value | humanize }} times a lane went on without a candidate that failed",
            "The champion predicts in a canary's place; what a suspended candidate would have said is unknown.",
        ),
        Alert(
            "StreamScorerCandidateRefused",
            f"max by (job) ({catalogue.MODELS_REFUSED.name}) > 0",
            "0s",
            "ticket",
            "{{ $value }} candidates can't be loaded by a worker",
            "Its lanes go on without them, until the next control record.",
        ),
        Alert(
            "StreamScorerModelsDiffer",
            differ,
            pace.minutes(15),
            "ticket",
            "Workers serve {{ $value }} different champions",
            "Which model scores an observation depends on its partition.",
        ),
        Alert(
            "StreamScorerLanesDiffer",
            f"max by (job) ({followed})\n  - min by (job) ({followed}) > 0\nunless on (job) {differ}",
            pace.minutes(15),
            "ticket",
            "Lanes are served by different control records",
            "The same champion serves everywhere, but thresholds, canary, its share, or shadows differ by partition.",
        ),
    )
