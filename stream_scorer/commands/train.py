"""`stream-scorer train`: from a CSV of stops with outcomes to a model directory, and what the model is worth."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from stream_scorer.commands.file_options import ColumnsOption, EncodingOption, mapping_from
from stream_scorer.commands.options import JsonOption

if TYPE_CHECKING:  # scikit-learn and pandas come with these; `--help` does without
    from stream_scorer.models.stops_csv.column_mapping import ColumnMapping
    from stream_scorer.models.training.dataset import LabelledRows
    from stream_scorer.models.training.fit import Trained


class AlgorithmChoice(StrEnum):
    LOGISTIC = "logistic"
    GRADIENT_BOOSTING = "gradient-boosting"
    COMPARE = "compare"


class CalibrationChoice(StrEnum):
    NONE = "none"
    SIGMOID = "sigmoid"
    ISOTONIC = "isotonic"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("train")(train_command)


def train_command(
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="The model directory to write; must not exist yet.")
    ],
    csv: Annotated[
        Path | None,
        typer.Argument(
            metavar="[CSV]",
            help="CSV of stops: the ten columns and ContrabandIndicator (empty: not known). Default: generated stops.",
        ),
    ] = None,
    columns: ColumnsOption = None,
    encoding: EncodingOption = None,
    algorithm: Annotated[
        AlgorithmChoice,
        typer.Option(
            help="logistic adds up the effects of single columns and is fast; gradient-boosting lets columns interact; "
            "compare trains both and takes the second only where it is better beyond chance."
        ),
    ] = AlgorithmChoice.LOGISTIC,
    threshold_margin: Annotated[
        float,
        typer.Option(min=0.0, max=0.4, help="The threshold is chosen where the success rate is this far above 0.5."),
    ] = 0.05,
    calibration: Annotated[
        CalibrationChoice, typer.Option(help="How probabilities are put right on folds that were not seen.")
    ] = CalibrationChoice.NONE,
    max_gap: Annotated[
        float | None,
        typer.Option(min=0.0, max=1.0, help="Take the lowest threshold whose gap between groups is at most this."),
    ] = None,
    test: Annotated[
        list[Path] | None, typer.Option("--test", metavar="CSV", help="Evaluate on these stops too; repeatable.")
    ] = None,
    time_column: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="A column of times in ISO 8601: the test set is the latest fifth instead of a random one.",
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="The model's name. Default: the directory's.")] = None,
    rows: Annotated[int, typer.Option(min=1_000, help="How many stops to generate when no file is given.")] = 60_000,
    seed: Annotated[int, typer.Option(min=0, help="Random seed; the same seed gives the same model.")] = 0,
    json: JsonOption = False,
) -> None:
    """Train a model, evaluate it on held-out rows, and write it with its model card."""
    from stream_scorer.models.artifacts.files import refuse_existing
    from stream_scorer.models.registry.model_directory import load_model, save_model
    from stream_scorer.models.training.comparison import choose
    from stream_scorer.models.training.dataset import read_rows
    from stream_scorer.models.training.fit import FOLDS, train
    from stream_scorer.models.training.pipelines import ALGORITHMS
    from stream_scorer.models.training.plots import PLOTS_FILE, plots_of

    refuse_existing(out)
    mapping = mapping_from(columns)
    algorithms = [name for name in ALGORITHMS if algorithm.value in (name, AlgorithmChoice.COMPARE)]
    with steps_shown(total=len(algorithms) * (FOLDS + 2 + len(test or [])) + 2 + len(test or [])) as progress:
        progress(f"reading {csv}" if csv else f"generating {rows:,} stops")
        labelled, source = rows_from(csv, time_column, rows, seed, encoding, mapping)
        tests = {}
        for path in test or []:
            progress(f"reading {path}")
            tests[path.name] = read_rows(path, encoding=encoding, mapping=mapping)
        candidates: dict[str, Trained] = {
            each: train(
                labelled,
                source=source,
                algorithm=each,
                calibration=calibration.value,
                margin=threshold_margin,
                gap_max=max_gap,
                seed=seed,
                tests=tests,
                progress=progress,
            )
            for each in algorithms
        }
        chosen = choose(candidates) if len(candidates) > 1 else algorithms[0]
        trained = candidates[chosen]
        progress(f"saving {out}")
        named = name or out.resolve().name
        save_model(out, trained.pipeline, name=named, threshold=trained.threshold, card=trained.card)
        model = load_model(out).name  # as a worker will: checked, and its compiled form kept for the first start
        (out / PLOTS_FILE).write_bytes(plots_of(model, trained))
    if json:
        typer.echo(msgspec.json.encode(summary(model, out, trained, candidates)).decode())
    else:
        from stream_scorer.commands.train_report import print_report

        print_report(model, out, labelled.cleaning, trained, candidates, chosen)


def rows_from(
    csv: Path | None,
    time_column: str | None,
    generated: int,
    seed: int,
    encoding: str | None,
    mapping: "ColumnMapping | None",
) -> tuple["LabelledRows", str]:
    """The rows to train on, and the words for where they come from."""
    from stream_scorer.models.registry.default_model import generated_rows, generated_source
    from stream_scorer.models.training.dataset import read_rows

    if csv is None:
        return generated_rows(generated, seed), generated_source(generated, seed)
    return read_rows(csv, time_column, encoding=encoding, mapping=mapping), csv.name


def summary(model: str, out: Path, trained: "Trained", candidates: "dict[str, Trained]") -> dict[str, object]:
    """What `--json` prints."""
    return {
        "model": model,
        "folder": str(out),
        "threshold": trained.threshold,
        **{part: trained.card[part] for part in ("algorithm", "threshold_choice", "training", "evaluations")},
        "candidates": {name: {"brier_out_of_fold": float(each.errors.mean())} for name, each in candidates.items()},
    }


@contextmanager
def steps_shown(total: int) -> Iterator[Callable[[str], None]]:
    """A bar on standard error; each call of what is given names the step that begins."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total:.0f}"),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=total, completed=-1)
        yield lambda step: bar.update(task, advance=1, description=step)
