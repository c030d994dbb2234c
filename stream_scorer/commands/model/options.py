"""Options of the commands on models: where a model comes from, what it is held against, who acts and why."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stream_scorer.commands.options import JsonOption
from stream_scorer.commands.time_options import milliseconds_of
from stream_scorer.errors import SettingsError

if TYPE_CHECKING:
    from stream_scorer.models.registry.model_directory import LoadedModel
    from stream_scorer.operations.rollout.model_verification import Verification
    from stream_scorer.runtime.settings.settings import Settings

SourceArgument = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="A model directory; uploaded:/NAME for one in Kafka; s3://… and others by fsspec; models:/NAME@ALIAS or "
        "runs:/RUN/PATH by MLflow.",
    ),
]
DeployedArgument = Annotated[
    str,
    typer.Argument(metavar="MODEL", help="A deployed model: its name, NAME@DIGEST, or the beginning of its digest."),
]
CandidateArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="[MODEL]",
        help="The candidate: its name, NAME@DIGEST, or the beginning of its digest. Default: the canary.",
    ),
]
LabelledOption = Annotated[
    Path | None,
    typer.Option("--labelled", metavar="CSV", help="A CSV file of stops with outcomes, to test the model on."),
]
FromOption = Annotated[
    str | None,
    typer.Option("--from", metavar="TIME", help="Test the model on outcomes that Kafka keeps, from this time on."),
]
ToOption = Annotated[str | None, typer.Option("--to", metavar="TIME", help="The time at which these outcomes end.")]
MinSuccessRateOption = Annotated[
    float,
    typer.Option(
        "--min-success-rate",
        min=0,
        max=1,
        help="The least success rate: the share of positive predictions that are right.",
    ),
]
ThresholdOption = Annotated[
    float | None,
    typer.Option(
        "--threshold", min=0, max=1, help="The probability from which on its prediction is true. Default: its card's."
    ),
]
WhyOption = Annotated[str, typer.Option("--why", metavar="TEXT", help="A reason, kept in the control record.")]
WhoOption = Annotated[
    str | None,
    typer.Option("--who", metavar="NAME", help="Who acts. Default: operator.name, or your user name."),
]
YesOption = Annotated[bool, typer.Option("--yes", help="Don't ask on a terminal.")]
WaitOption = Annotated[
    bool,
    typer.Option("--wait", help="Wait until every lane serves it; exit status 1 where one refuses, or time is up."),
]
TimeoutOption = Annotated[float, typer.Option("--timeout", metavar="S", min=1, help="How long --wait waits.")]


@dataclass(frozen=True)
class ActOptions:
    """Who acts and why, whether to ask first, and whether to wait for the lanes, at most `timeout_s` seconds."""

    wait: bool
    timeout_s: float
    why: str
    who: str | None
    yes: bool
    as_json: bool


def act_options(
    wait: WaitOption = False,
    timeout_s: TimeoutOption = 300.0,
    why: WhyOption = "",
    who: WhoOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> ActOptions:
    """Option group: what every act on models takes."""
    return ActOptions(wait, timeout_s, why, who, yes, as_json)


async def verification_of(
    model: "LoadedModel",
    resolved: "Settings",
    *,
    labelled: Path | None,
    begin: str | None,
    end: str | None,
    min_success_rate: float,
    threshold: float | None,
) -> "Verification":
    """What holding a model against the stops that the options name has shown. Raises ModelError, SettingsError."""
    from stream_scorer.operations.rollout.model_verification import loads, verify_model

    if labelled is not None and (begin is not None or end is not None):
        raise SettingsError("--labelled and --from or --to: give one kind of stops")
    if labelled is not None:
        from stream_scorer.models.training.dataset import read_rows

        rows = read_rows(labelled)
        codes, outcomes, where = rows.codes, rows.classes, str(labelled)
    elif begin is not None or end is not None:
        from stream_scorer.core.quality.windowed_evaluation import Window
        from stream_scorer.operations.rollout.retained_stops import retained_stops

        window = Window(
            None if begin is None else milliseconds_of("--from", begin),
            None if end is None else milliseconds_of("--to", end),
        )
        codes, outcomes = await retained_stops(resolved, window)
        where = f"what Kafka keeps from {begin or 'its beginning'} to {end or 'now'}"
    else:
        return loads(model, threshold)
    return verify_model(model, codes, outcomes, min_success_rate, where=where, threshold=threshold)
