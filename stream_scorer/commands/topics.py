"""`stream-scorer topics`: compare a cluster's topics with topics.toml, create missing ones, and describe their
records."""

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stream_scorer.commands.kafka_log_level import quiet_kafka_clients
from stream_scorer.commands.option_groups import with_options
from stream_scorer.commands.options import JsonOption, environment_settings

if TYPE_CHECKING:
    from stream_scorer.runtime.cluster.topic_admin import TopicPlan
    from stream_scorer.runtime.settings.settings import Settings

topics = typer.Typer(
    name="topics",
    help="Compare a cluster's topics with topics.toml, and create the missing ones.",
    no_args_is_help=True,
)

FAULT = 1


def register(app: typer.Typer) -> None:
    app.add_typer(topics)


@topics.command()
@with_options(settings=environment_settings)
def plan(*, settings: "Settings", as_json: JsonOption = False) -> None:
    """Show what `apply` would create, and how existing topics differ. Changes nothing."""
    from stream_scorer.runtime.cluster.topic_admin import plan as plan_topics

    quiet_kafka_clients()
    rows = asyncio.run(plan_topics(settings))
    if as_json:
        typer.echo(json.dumps([plan_row(row) for row in rows]))
    else:
        print_plan(rows)


@topics.command()
@with_options(settings=environment_settings)
def apply(*, settings: "Settings", as_json: JsonOption = False) -> None:
    """Create missing topics; never change an existing one. Exit status 1 if an existing one is not usable."""
    from stream_scorer.runtime.cluster.topic_admin import apply as apply_topics
    from stream_scorer.runtime.cluster.topic_admin import check_cluster

    quiet_kafka_clients()
    created = asyncio.run(apply_topics(settings))
    problems = asyncio.run(check_cluster(settings))
    if as_json:
        typer.echo(json.dumps({"created": created, "problems": problems}))
    else:
        for name in created:
            typer.echo(f"created {name}")
        if not created:
            typer.echo("nothing to create")
        print_problems(problems)
    if problems:
        raise typer.Exit(FAULT)


@topics.command()
@with_options(settings=environment_settings)
def check(*, settings: "Settings", as_json: JsonOption = False) -> None:
    """Check whether workers can run on the cluster's topics: exit status 0, or 1 and every problem with its remedy."""
    from stream_scorer.runtime.cluster.topic_admin import check_cluster

    quiet_kafka_clients()
    problems = asyncio.run(check_cluster(settings))
    if as_json:
        typer.echo(json.dumps({"ok": not problems, "problems": problems}))
    elif problems:
        print_problems(problems)
    else:
        typer.echo("all topics match topics.toml")
    if problems:
        raise typer.Exit(FAULT)


@topics.command()
def describe(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The output directory.", file_okay=False)] = Path(
        "topics"
    ),
) -> None:
    """Write the JSON Schema of every topic's value and one AsyncAPI document, from the code's own contract."""
    from stream_scorer.operations.generators.asyncapi import described_files

    out.mkdir(parents=True, exist_ok=True)
    for name, text in described_files().items():
        (out / name).write_text(text, encoding="utf-8")
        typer.echo(f"wrote {out / name}")


def print_problems(problems: list[str]) -> None:
    for problem in problems:
        typer.echo(problem, err=True)


def plan_row(row: "TopicPlan") -> dict[str, Any]:
    return {
        "topic": row.topic.name,
        "action": "none" if row.found else "create",
        "partitions": row.topic.partitions,
        "replication": row.topic.replication,
        "config": row.topic.config,
        "differences": [difference._asdict() for difference in row.differences if row.found],
    }


def print_plan(rows: "tuple[TopicPlan, ...]") -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("topic", "", "partitions", "replicas", "kept", "largest batch"):
        table.add_column(
            heading, justify="left" if heading in ("topic", "") else "right", no_wrap=True, overflow="ignore"
        )
    for row in rows:
        blocked = any(difference.blocking for difference in row.differences)
        state = (
            "create" if row.found is None else "fix" if blocked else "differs" if row.differences else "as it should be"
        )
        topic = row.topic
        kept = "for ever" if topic.kept_for_ever else f"{topic.retention_ms / 86_400_000:g} days"
        table.add_row(
            topic.name,
            state,
            str(topic.partitions),
            str(topic.replication),
            kept,
            f"{topic.record_bytes_max / 1024**2:.2g} MiB",
        )
    Console(width=max(120, Console().width)).print(table, highlight=False)
    for row in rows:
        for difference in row.differences if row.found else ():
            typer.echo(f"{'fix' if difference.blocking else 'differs'}: {difference}")
