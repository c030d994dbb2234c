"""The dashboard about dead letters: how many, why, since when, and what became of them."""

from stream_scorer.operations.monitoring.panels import JOB, Panel, PanelRow, Query, page, runbook
from stream_scorer.runtime.metrics import catalogue as catalogue
from stream_scorer.runtime.settings.settings import Settings

UID, TITLE = "stream-scorer-dead-letters", "stream-scorer: dead letters"
VARIABLES = (JOB,)
OF = 'job=~"$job"'
RATE = "[$__rate_interval]"
LETTERS = catalogue.DEAD_LETTERS.name
FIRST_SEEN = catalogue.CODE_FIRST_SEEN.name
LOOK = page("Dead letters, grouped", "/dead-letters")
PRODUCERS = page("Producers", "/producers")


def rows(settings: Settings) -> tuple[PanelRow, ...]:
    limit = settings.business.dead_letter_share_max
    return (
        PanelRow("How many", how_many(limit)),
        PanelRow("Why", why()),
        PanelRow("Other records without a prediction", others()),
    )


def how_many(limit: float) -> tuple[Panel, ...]:
    many = runbook("StreamScorerManyDeadLetters")
    return (
        Panel(
            "Share of observations",
            "Dead letters of all observations of the last 15 minutes",
            (Query(f"stream_scorer:dead_letter_share:15m{{{OF}}}", "{{job}}"),),
            unit="percentunit",
            limit=limit,
            width=12,
            links=(many, LOOK, PRODUCERS),
        ),
        Panel(
            "In the span shown",
            "Dead letters, all stages",
            (Query(f"sum(increase({LETTERS}{{{OF}}}[$__range]))", "", instant=True),),
            "stat",
            width=6,
            links=(LOOK,),
        ),
        Panel(
            "By stage",
            "The stage at which records failed",
            (Query(f"sum by (stage) (increase({LETTERS}{{{OF}}}[$__range])) > 0", "{{stage}}", instant=True),),
            "bargauge",
            width=6,
            links=(LOOK,),
        ),
    )


def why() -> tuple[Panel, ...]:
    new = runbook("StreamScorerNewReason")
    return (
        Panel(
            "By code",
            "Dead letters a second, by their first reason",
            (Query(f"sum by (code, stage) (rate({LETTERS}{{{OF}}}{RATE})) > 0", "{{code}} ({{stage}})"),),
            unit="ops",
            stacked=True,
            width=12,
            links=(LOOK, new),
        ),
        Panel(
            "In the span shown, by code",
            "Dead letters, by their first reason and stage",
            (
                Query(
                    f"sum by (code, stage) (increase({LETTERS}{{{OF}}}[$__range])) > 0",
                    "{{code}} ({{stage}})",
                    instant=True,
                ),
            ),
            "table",
            width=12,
            links=(LOOK, new),
        ),
        Panel(
            "An hour against the day",
            "Dead letters of the last hour as a multiple of the mean hour of the last day, by "
            "code: new problems stand out",
            (
                Query(
                    f"sum by (code) (increase({LETTERS}{{{OF}}}[1h]))\n"
                    f"  / (sum by (code) (increase({LETTERS}{{{OF}}}[1d])) / 24 > 0)",
                    "{{code}}",
                    instant=True,
                ),
            ),
            "bargauge",
            limit=3,
            links=(new, LOOK),
        ),
        Panel(
            "First seen",
            "How long ago a worker first wrote a dead letter with the code, since the oldest running worker started",
            (Query(f"time() - min by (code) ({FIRST_SEEN}{{{OF}}} > 0)", "{{code}}"),),
            "bargauge",
            unit="s",
            links=(new, LOOK),
        ),
        Panel(
            "The model's own",
            "Records a second that the model could not score, or whose score is not a probability",
            (Query(f'sum by (code) (rate({LETTERS}{{{OF}, stage=~"score|output"}}{RATE}))', "{{code}}"),),
            unit="ops",
            links=(new, LOOK),
        ),
    )


def others() -> tuple[Panel, ...]:
    def ended(name: str, end: str, legend: str) -> Query:
        return Query(f'sum(rate({name}{{{OF}, end="{end}"}}{RATE}))', legend)

    observations, outcomes = catalogue.OBSERVATIONS.name, catalogue.OUTCOMES.name
    return (
        Panel(
            "Sent again",
            "Observations a second that were scored before, with the same columns: nothing is published",
            (
                ended(observations, "redelivered", "redelivered"),
                Query(f'sum(rate({LETTERS}{{{OF}, code="conflict"}}{RATE}))', "with other columns: conflict"),
            ),
            unit="ops",
            links=(LOOK,),
        ),
        Panel(
            "Moved",
            "Records a second on another partition than their id's: their producer partitions differently",
            (ended(observations, "moved", "observations"), ended(outcomes, "moved", "outcomes")),
            unit="ops",
            links=(PRODUCERS,),
        ),
        Panel(
            "Outcomes without observation",
            "Outcomes a second that wait for their observation, or whose observation never came",
            (ended(outcomes, "awaiting", "wait"), ended(outcomes, "unknown", "unknown")),
            unit="ops",
            links=(runbook("StreamScorerOutcomesMissing"),),
        ),
        Panel(
            "Intake pauses",
            "1 while a worker has paused consumption, because too many records became dead letters; and how often "
            "in an hour",
            (
                Query(f"max by (instance) ({catalogue.BREAKER_OPEN.name}{{{OF}}})", "{{instance}}, now"),
                Query(
                    f"sum by (instance) (increase({catalogue.BREAKER_TRIPS.name}{{{OF}}}[1h]))", "{{instance}}, an hour"
                ),
            ),
            limit=1,
            links=(runbook("StreamScorerIntakePaused"),),
        ),
        Panel(
            "Replayed",
            "Records a second that an operator replayed",
            (Query(f"sum(rate({catalogue.REPLAYED.name}{{{OF}}}{RATE}))", "replayed"),),
            unit="ops",
            width=8,
            links=(LOOK,),
        ),
        Panel(
            "Outcomes that came again",
            "With the same class: counted; with another: corrected",
            (ended(outcomes, "repeated", "the same class"), ended(outcomes, "corrected", "another class")),
            unit="ops",
            width=8,
            links=(runbook("StreamScorerOutcomesMissing"),),
        ),
    )
