"""The dashboard about the model: how well its predictions do, for whom, and how far traffic is from its training."""

from stream_scorer.core.contract.columns import COLUMN_NAMES
from stream_scorer.core.quality.counts import GROUP_COLUMNS
from stream_scorer.operations.monitoring.dashboard_candidates import candidate_rows
from stream_scorer.operations.monitoring.panels import JOB, Panel, PanelRow, Query, Variable, runbook
from stream_scorer.operations.monitoring.quality_rules import PUBLISHED, WHOLE
from stream_scorer.runtime.metrics import catalogue as catalogue
from stream_scorer.runtime.settings.sections import BusinessSettings
from stream_scorer.runtime.settings.settings import Settings

UID, TITLE = "stream-scorer-models", "stream-scorer: model quality, fairness and drift"
WINDOW = Variable("window", "Window", choices=("month", "week", "day"))
COLUMN = Variable("column", "Column", choices=COLUMN_NAMES)
VARIABLES = (JOB, WINDOW, COLUMN)
OF = 'job=~"$job", window="$window"'
LIVE = 'job=~"$job"'
ANYTIME = "holds at all looks together"
GROUP_NAMES = {"SubjectRaceCode": "race", "SubjectSexCode": "sex", "SubjectEthnicityCode": "ethnicity"}


def rows(settings: Settings) -> tuple[PanelRow, ...]:
    business = settings.business
    return (
        PanelRow("How well", quality(business)),
        PanelRow("For whom", tuple(group_panel(column) for column in GROUP_COLUMNS) + fairness(business)),
        PanelRow("Drift", drift(business)),
        PanelRow("What is predicted", predicted()),
        *candidate_rows(settings),
    )


def quality(business: BusinessSettings) -> tuple[Panel, ...]:
    rate = f"stream_scorer:success_rate{{{OF}}}"
    low_or_high = [
        (f"stream_scorer:success_rate:{end}{{{OF}}}", f"{name} ({{{{job}}}})")
        for end, name in (
            ("low", "95 %, one look: low"),
            ("high", "95 %, one look: high"),
            ("anytime_low", f"low, {ANYTIME}"),
            ("anytime_high", f"high, {ANYTIME}"),
        )
    ]
    bad = runbook("StreamScorerSuccessRateLow")
    return (
        Panel(
            "Success rate",
            "True positives among the positive predictions with an outcome. The alert fires when the "
            "upper bound that holds at all looks is below the limit",
            (Query(rate, "success rate ({{job}})"), *(Query(expr, legend) for expr, legend in low_or_high)),
            unit="percentunit",
            width=12,
            most=1,
            limit=business.success_rate_min,
            low_is_bad=True,
            links=(bad,),
        ),
        Panel(
            "Positive predictions with outcomes",
            f"Sample size of the success rate; from {business.success_outcomes_min} on it counts",
            (Query(f"stream_scorer:success_rate:positives{{{OF}}}", "{{job}}"),),
            width=6,
            limit=business.success_outcomes_min,
            low_is_bad=True,
            links=(bad,),
        ),
        Panel(
            "Recall",
            "Recall: share of the finds that were predicted",
            (Query(f"stream_scorer:recall{{{OF}}}", "{{job}}"),),
            unit="percentunit",
            width=6,
            most=1,
            links=(bad,),
        ),
        Panel(
            "Brier score",
            "Mean of (probability - class)²: 0.25 is what a coin flip would get; lower is better",
            (Query(f"stream_scorer:brier_score{{{OF}}}", "{{job}}"),),
            limit=0.25,
            links=(bad,),
        ),
        Panel(
            "Outcomes come",
            "Outcomes per prediction, by group; a group with fewer has less certain rates",
            (Query(f"stream_scorer:outcome_coverage{{{OF}}}", "{{column}} {{group}}"),),
            unit="percentunit",
            links=(runbook("StreamScorerOutcomesMissing"),),
        ),
        Panel(
            "Corrections",
            "Outcomes a second that a later outcome for the same id replaced",
            (
                Query(
                    f"sum(rate({catalogue.JOINED_RETRACTED.name}{{{LIVE}, {WHOLE}}}[$__rate_interval]))", "taken back"
                ),
            ),
            unit="ops",
            links=(bad,),
        ),
    )


def group_panel(column: str) -> Panel:
    of = f'{OF}, column="{column}"'
    return Panel(
        f"Discovery rate by {GROUP_NAMES[column]}",
        "The success rate within a group, with its 95 % interval at one look",
        (
            Query(f"stream_scorer:discovery_rate{{{of}}}", "{{group}}"),
            Query(f"stream_scorer:discovery_rate:low{{{of}}}", "{{group}}, low"),
            Query(f"stream_scorer:discovery_rate:high{{{of}}}", "{{group}}, high"),
        ),
        unit="percentunit",
        most=1,
        links=(runbook("StreamScorerGroupGapHigh"),),
    )


def fairness(business: BusinessSettings) -> tuple[Panel, ...]:
    gap = "stream_scorer:discovery_gap"
    apart = runbook("StreamScorerGroupGapHigh")
    return (
        Panel(
            "Largest gap",
            "Between two groups of a column that each have enough outcomes, with its 95 % interval at one look",
            (
                Query(f"{gap}{{{OF}}}", "{{column}}"),
                Query(f"{gap}:low{{{OF}}}", "{{column}}, low"),
                Query(f"{gap}:high{{{OF}}}", "{{column}}, high"),
            ),
            unit="percentunit",
            limit=business.group_gap_max,
            links=(apart,),
        ),
        Panel(
            "The gap is at least",
            f"The lower bound that {ANYTIME}; the alert fires when it exceeds the limit. Below 0: not enough data yet",
            (Query(f"{gap}:anytime_low{{{OF}}}", "{{column}}"),),
            unit="percentunit",
            limit=business.group_gap_max,
            links=(apart,),
        ),
        Panel(
            "Positive predictions with outcomes, by group",
            f"From {business.group_outcomes_min} on a group counts",
            (Query(f"stream_scorer:discovery_rate:positives{{{OF}}}", "{{column}} {{group}}"),),
            "bargauge",
            limit=business.group_outcomes_min,
            low_is_bad=True,
            links=(apart,),
        ),
    )


def drift(business: BusinessSettings) -> tuple[Panel, ...]:
    drifted = runbook("StreamScorerColumnDrifted")
    of_column = f'{LIVE}, column="$column"'
    return (
        Panel(
            "Columns",
            "Population stability index of each column, a day's traffic against the training data",
            (Query(f"max by (column) (stream_scorer:feature_psi{{{LIVE}}})", "{{column}}"),),
            width=12,
            limit=business.psi_max,
            links=(drifted,),
        ),
        Panel(
            "Probabilities",
            "Population stability index of the probabilities, by model and within each group",
            (
                Query(f"stream_scorer:probability_psi{{{LIVE}}}", "{{model}} {{role}}"),
                Query(
                    f"max by (column, group) (stream_scorer:group_probability_psi{{{LIVE}}})", "{{column}} {{group}}"
                ),
            ),
            width=12,
            limit=business.psi_max,
            links=(runbook("StreamScorerProbabilitiesDrifted"),),
        ),
        Panel(
            "$column, now",
            "Share of each bucket in a day's traffic (weekdays: a week's)",
            (Query(f"sum by (bucket) (stream_scorer:feature_observations:share{{{of_column}}})", "{{bucket}}"),),
            "bargauge",
            "percentunit",
            links=(drifted,),
        ),
        Panel(
            "$column, in training",
            "Share of each bucket in the champion's training data",
            (
                Query(
                    f'max by (bucket) (stream_scorer:training_features:share{{{of_column}, role="champion"}})',
                    "{{bucket}}",
                ),
            ),
            "bargauge",
            "percentunit",
            links=(drifted,),
        ),
        Panel(
            "Sample size of the index",
            f"From {business.psi_observations_min:,} on an index counts",
            (Query(f"max by (column) (stream_scorer:feature_observations:total{{{LIVE}}})", "{{column}}"),),
            "bargauge",
            limit=business.psi_observations_min,
            low_is_bad=True,
            links=(drifted,),
        ),
    )


def predicted() -> tuple[Panel, ...]:
    predictions = catalogue.PREDICTIONS.name
    share = (
        f'sum by (column, group) (rate({predictions}{{{LIVE}, {PUBLISHED}, predicted="true"}}[$__rate_interval]))\n'
        f"  / (sum by (column, group) (rate({predictions}{{{LIVE}, {PUBLISHED}}}[$__rate_interval])) > 0)"
    )
    models = f"max by (job, model, role) ({catalogue.MODEL_LOADED.name}{{{LIVE}}})"
    return (
        Panel(
            "Predicted to succeed",
            "Share of predictions that are true, by group",
            (Query(share, "{{column}} {{group}}"),),
            unit="percentunit",
            most=1,
            links=(runbook("StreamScorerGroupProbabilitiesDrifted"),),
        ),
        Panel(
            "Probabilities, now",
            "Share of each tenth in a day's predictions",
            (Query(f'max by (bucket) (stream_scorer:probability:share{{{LIVE}, role="champion"}})', "{{bucket}}"),),
            "bargauge",
            "percentunit",
            width=4,
            links=(runbook("StreamScorerProbabilitiesDrifted"),),
        ),
        Panel(
            "In training",
            "Share of each tenth on the champion's training rows, predicted out of fold",
            (
                Query(
                    f'max by (bucket) (stream_scorer:probability:training_share{{{LIVE}, role="champion"}})',
                    "{{bucket}}",
                ),
            ),
            "bargauge",
            "percentunit",
            width=4,
            links=(runbook("StreamScorerProbabilitiesDrifted"),),
        ),
        Panel(
            "Models",
            "Which models serve (1) or served (0), by environment",
            (Query(models, ""),),
            "table",
            links=(runbook("StreamScorerModelsDiffer"),),
        ),
    )
