"""What the dashboard about models shows of candidates: who serves where, the evidence with its bounds, and how each
model does in its role.
"""

from typing import Final

from stream_scorer.core.rollout.contrasts import contrasts_of
from stream_scorer.operations.monitoring.panels import Panel, PanelRow, Query, runbook
from stream_scorer.operations.monitoring.quality_rules import WHOLE
from stream_scorer.runtime.metrics import catalogue as catalogue
from stream_scorer.runtime.metrics import evidence_catalogue as evidence
from stream_scorer.runtime.settings.settings import Settings

LIVE: Final = 'job=~"$job"'
OF: Final = 'job=~"$job", window="$window"'
BY: Final = "job, model, role"
NAME: Final = "{{model}} {{role}}"
# What a condition asks, and in which unit its figure is
CONDITIONS: Final = (
    ("gain", "Net benefit over the champion", "per stop, at the champion's threshold", "none"),
    ("success_rate", "Success rate", "true positives among the candidate's positive predictions", "percentunit"),
    ("recall", "Recall, less the champion's", "of the same finds", "percentunit"),
)


def candidate_rows(settings: Settings) -> tuple[PanelRow, ...]:
    return (
        PanelRow("Who serves where", serving()),
        PanelRow("Evidence", evidence_panels(settings)),
        PanelRow("Each model in its role", by_role()),
    )


def serving() -> tuple[Panel, ...]:
    suspended = runbook("StreamScorerModelSuspended")
    return (
        Panel(
            "Models by worker",
            "Which models a worker has loaded, and in which role they serve its lanes",
            (Query(f"max by (job, instance, role, model) ({catalogue.MODEL_LOADED.name}{{{LIVE}}}) == 1", ""),),
            "table",
            width=16,
            links=(runbook("StreamScorerModelsDiffer"),),
        ),
        Panel(
            "Control record",
            "Offset of the control record whose models each worker has loaded; -1: the settings' model. Workers that "
            "stay apart serve different models",
            (Query(f"{catalogue.CONTROL_OFFSET.name}{{{LIVE}}}", "{{instance}}"),),
            least=None,
            links=(runbook("StreamScorerLanesDiffer"),),
        ),
        Panel(
            "Shadow predictions",
            "Records a second of what canary and shadows would have said; and predictions that shadows owe: they "
            "were late, raised, or were being started again",
            (
                Query(f"sum(rate({catalogue.SHADOW_PREDICTIONS.name}{{{LIVE}}}[$__rate_interval]))", "written"),
                Query(f"sum(rate({catalogue.SHADOWS_MISSING.name}{{{LIVE}}}[$__rate_interval]))", "missing"),
            ),
            unit="ops",
            links=(suspended,),
        ),
        Panel(
            "Suspensions",
            "How often lanes went on without a candidate, within an hour",
            (Query(f"sum(increase({catalogue.SUSPENSIONS.name}{{{LIVE}}}[1h]))", "suspended"),),
            limit=1,
            links=(suspended,),
        ),
        Panel(
            "Automatic decisions",
            "What the judge did within an hour: candidates promoted and withdrawn, decisions that another act was "
            "quicker than, that it may not write, and its own failures",
            (Query(f"sum by (event) (increase({catalogue.JUDGE_EVENTS.name}{{{LIVE}}}[1h]))", "{{event}}"),),
            links=(runbook("StreamScorerJudgeFails"),),
        ),
        Panel(
            "Refused",
            "Candidates that a worker could not load",
            (Query(f"{catalogue.MODELS_REFUSED.name}{{{LIVE}}}", "{{instance}}"),),
            limit=1,
            links=(runbook("StreamScorerCandidateRefused"),),
        ),
    )


def evidence_panels(settings: Settings) -> tuple[Panel, ...]:
    return (
        Panel(
            "Verdict",
            "What follows from the evidence now: promote, shown better; withdraw, a harm is shown or no gain is in "
            "sight; suspend, outcomes can't compare the two",
            (Query(f"max by ({BY}, decision) ({evidence.CANDIDATE_DECISION.name}{{{LIVE}}}) == 1", ""),),
            "table",
            links=(runbook("StreamScorerCandidateBetter"), runbook("StreamScorerCandidateWorse")),
        ),
        Panel(
            "Conditions",
            "1 where a condition is shown, -1 where its opposite is, 0 while it is open; what has too few outcomes "
            "does not stand here",
            (
                Query(
                    f"max by ({BY}, condition) ({evidence.CONDITION_SHOWN.name}{{{LIVE}}})\n"
                    f"  - max by ({BY}, condition) ({evidence.CONDITION_OPPOSED.name}{{{LIVE}}})",
                    "",
                ),
            ),
            "table",
            links=(runbook("StreamScorerCandidateUnfair"),),
        ),
        Panel(
            "Outcomes",
            "Outcomes that all lanes have counted for a candidate, and how many are still expected until everything is "
            "shown",
            (
                Query(f"max by ({BY}) ({evidence.CANDIDATE_OUTCOMES.name}{{{LIVE}}})", f"{NAME}, counted"),
                Query(f"max by ({BY}) ({evidence.CANDIDATE_EXPECTED.name}{{{LIVE}}})", f"{NAME}, still expected"),
            ),
            links=(runbook("StreamScorerEvidenceStalled"),),
        ),
        *(
            condition_panel(name, title, about, unit, "StreamScorerCandidateWorse")
            for name, title, about, unit in CONDITIONS
        ),
        *(
            condition_panel(
                f"gap_{contrast}",
                f"Discovery rate, {contrast.minuend} less {contrast.subtrahend}",
                "of the candidate; shown too where it is not more than the bound above the champion's",
                "percentunit",
                "StreamScorerCandidateUnfair",
            )
            for contrast in contrasts_of(settings.models.contrasts)
        ),
        Panel(
            "Guards",
            "1 where outcomes can't compare a candidate with the champion, and nobody decides",
            (Query(f"max by ({BY}, guard) ({evidence.CANDIDATE_GUARD.name}{{{LIVE}}})", f"{NAME}, {{{{guard}}}}"),),
            limit=1,
            most=1,
            links=(runbook("StreamScorerVerdictSuspended"),),
        ),
    )


def condition_panel(name: str, title: str, about: str, unit: str, alert: str) -> Panel:
    """What was found with its bounds, and where it must be shown to lie."""
    parts = (
        (evidence.CONDITION_VALUE, ""),
        (evidence.CONDITION_LOW, ", low"),
        (evidence.CONDITION_HIGH, ", high"),
        (evidence.CONDITION_BOUND, ", must get to"),
    )
    return Panel(
        title,
        f"What was found, {about}; its bounds hold at all looks together",
        tuple(
            Query(f'max by ({BY}) ({definition.name}{{{LIVE}, condition="{name}"}})', f"{NAME}{which}")
            for definition, which in parts
        ),
        unit=unit,  # type: ignore[arg-type]  # one of Grafana's
        least=None,
        links=(runbook(alert),),
    )


def by_role() -> tuple[Panel, ...]:
    low = runbook("StreamScorerSuccessRateLow")
    by_model = ("success rate", "recall", "Brier score")
    records = ("model_success_rate", "model_recall", "model_brier_score")
    return (
        *(
            Panel(
                f"{title[0].upper()}{title[1:]} by model",
                f"The {title} of each model in its role, shadows too, on the outcomes that it has had: roles have "
                "others, so only evidence compares them",
                (Query(f"stream_scorer:{record}{{{OF}}}", NAME),),
                unit="percentunit" if record != "model_brier_score" else "short",
                links=(low,),
            )
            for title, record in zip(by_model, records, strict=True)
        ),
        Panel(
            "Outcomes by model",
            "Joined outcomes of a window; of shadows first revisions",
            (Query(f"sum by ({BY}) (stream_scorer:joined{{{OF}, {WHOLE}}})", NAME),),
            links=(runbook("StreamScorerOutcomesMissing"),),
        ),
        Panel(
            "Drift of probabilities by model",
            "Population stability index of what each model says, a shadow's too, against its training",
            (Query(f"stream_scorer:probability_psi{{{LIVE}}}", NAME),),
            links=(runbook("StreamScorerProbabilitiesDrifted"),),
        ),
        Panel(
            "Drift of columns by model",
            "The largest population stability index of a column, against what each model was trained on",
            (Query(f"max by ({BY}) (stream_scorer:feature_psi{{{LIVE}}})", NAME),),
            links=(runbook("StreamScorerColumnDrifted"),),
        ),
    )
