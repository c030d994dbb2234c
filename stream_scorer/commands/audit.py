"""`stream-scorer audit`: where every input of a range ended, proven from the topics alone."""

import asyncio
import json
from typing import TYPE_CHECKING, Annotated

import typer

from stream_scorer.commands.kafka_log_level import quiet_kafka_clients
from stream_scorer.commands.options import BootstrapOption, JsonOption, PrefixOption, SettingsOption, settings_from
from stream_scorer.commands.time_options import at_of

if TYPE_CHECKING:
    from stream_scorer.operations.audit.report import At, AuditReport
    from stream_scorer.runtime.settings.settings import Settings

NOT_FINE = 1


def register(app: typer.Typer) -> None:
    app.command()(audit)


def audit(
    begin: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="TIME|OFFSET", help="First input: RFC 3339, or an offset of each partition. Default: all."
        ),
    ] = None,
    end: Annotated[
        str | None,
        typer.Option(
            "--to", metavar="TIME|OFFSET", help="End of the range, exclusive. Default: what the workers have committed."
        ),
    ] = None,
    count_unread: Annotated[
        bool, typer.Option("--all", help="Count inputs that no worker has committed yet as unaccounted for.")
    ] = False,
    bootstrap: BootstrapOption = None,
    prefix: PrefixOption = None,
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Report where every input ended: prediction, dead letter, redelivery, move, joined, unknown or repeat.

    Reads the topics and nothing else. Names every record that is unaccounted for, or accounted for twice. Exit status
    1 if there is one, or if an output names an input that does not exist.
    """
    quiet_kafka_clients()
    resolved = settings_from(settings, bootstrap=bootstrap, prefix=prefix)
    asked_from, asked_to = at_of("--from", begin), at_of("--to", end)
    report = asyncio.run(_audit(resolved, asked_from, asked_to, count_unread=count_unread, quiet=as_json))
    if as_json:
        typer.echo(_encoded(report))
    else:
        _print(report)
    if not report.is_fine:
        raise typer.Exit(NOT_FINE)


async def _audit(resolved: "Settings", begin: "At", end: "At", *, count_unread: bool, quiet: bool) -> "AuditReport":
    from stream_scorer.commands.progress import reading_progress
    from stream_scorer.operations.audit.report import audit as audit_topics
    from stream_scorer.runtime.cluster.topic_admin import TopicNames
    from stream_scorer.runtime.kafka.client import client_options

    with reading_progress(quiet=quiet) as on_read:
        return await audit_topics(
            client_options(resolved.kafka),
            TopicNames(resolved.topics.prefix),
            resolved.group_name,
            begin=begin,
            end=end,
            count_unread=count_unread,
            join_window_s=resolved.worker.join_window_s,
            on_read=on_read,
        )


def _encoded(report: "AuditReport") -> str:
    import msgspec

    return json.dumps(msgspec.to_builtins(report))


def _print(report: "AuditReport") -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for topic, count in report.inputs.items():
        table.add_row(topic, f"{count:,}")
    for end, count in report.ended.items():
        table.add_row(f"  {end.replace('_', ' ')}", f"{count:,}")
    letters = report.ended["dead_letter"] + report.ended["unknown"]
    for what, count in (("replayed", report.letters_replayed), ("discarded", report.letters_discarded)):
        if letters:
            table.add_row(f"    dead letters {what} since", f"{count:,}")
    if report.replays:
        table.add_row("inputs that were replayed", f"{report.replays:,}")
    console = Console(soft_wrap=True)
    console.print(table, highlight=False)
    faults = [
        ("unaccounted for", report.unaccounted, report.unaccounted_offsets),
        ("accounted for twice", report.duplicated, report.duplicated_offsets),
        ("outputs that name an input which does not exist or differs", report.strays, report.stray_offsets),
        (
            "with move headers that stream-scorer did not write (harmless)",
            report.forged_moves,
            report.forged_move_offsets,
        ),
        ("replays in the ledger whose record is missing", report.lost_replays, report.lost_replay_offsets),
        (
            "replays of a dead letter that had been replayed already",
            report.doubled_replays,
            report.doubled_replay_offsets,
        ),
        (
            "with replay headers that stream-scorer did not write (harmless)",
            report.forged_replays,
            report.forged_replay_offsets,
        ),
        (
            "ledger records that describe no action (skipped)",
            report.unreadable_acts,
            report.unreadable_act_offsets,
        ),
        ("ids scored again within the join window", report.predicted_twice, report.predicted_twice_offsets),
    ]
    for what, count, named in faults:
        if count:
            more = ["…"] if count > len(named) else []
            typer.echo(f"{count:,} {what}:\n" + "\n".join(f"  {name}" for name in [*named, *more]))
    if report.deleted_ranges:
        sure, other = report.deleted_unread, report.deleted_unnamed
        typer.echo(f"{sure:,} offsets were deleted by retention before they were read, {other:,} more may have been:")
        typer.echo("\n".join(f"  {name}" for name in report.deleted_ranges))
    if report.quarantined_batches:
        typer.echo(
            f"{report.quarantined_batches:,} batches of {report.quarantined_offsets:,} records were not decompressed, "
            "each is one dead letter:\n" + "\n".join(f"  {name}" for name in report.quarantined_batch_offsets)
        )
    if report.not_yet_read:
        typer.echo(f"{report.not_yet_read:,} inputs not read yet: no worker has committed them")
    if report.beyond_retention:
        typer.echo(
            f"{report.beyond_retention:,} inputs are older than the retained outputs: where they ended is unknown"
        )
    verdict = (
        "every input ended in exactly one place" if report.is_fine else "NOT every input ended in exactly one place"
    )
    typer.echo(f"{verdict} ({report.records_read:,} records read in {report.seconds:.1f} s)")
