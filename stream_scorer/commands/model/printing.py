"""Models in production on a terminal.

Invariant: what comes from Kafka reaches the terminal only as printable characters.
"""

from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.table import Table

from stream_scorer.commands.dead_letters.printing import console
from stream_scorer.commands.terminal_text import printable

if TYPE_CHECKING:
    from stream_scorer.core.rollout.progress import CandidateProgress, ConditionProgress
    from stream_scorer.operations.rollout.status import RolloutStatus
    from stream_scorer.runtime.rollout.model_topic import UploadedModel

LABELS_ONLY = "Outcomes exist only where a search happened: verdicts speak of such stops and of no others."


def print_uploads(uploads: "list[UploadedModel]", passed_over: int, now: "RolloutStatus") -> None:
    """What was uploaded, the newest last."""
    roles = {each.digest: each.role for each in now.models}
    table = _table("MODEL", "ROLE", "FORM", "THRESHOLD", "KIB", "BY", "AT", "DIGEST")
    for each in uploads:
        manifest = each.manifest
        table.add_row(
            manifest.label,
            roles.get(manifest.digest, "-"),
            printable(manifest.form),
            f"{manifest.threshold:.4f}",
            f"{manifest.total_bytes / 1024:,.0f}",
            printable(manifest.who),
            printable(manifest.at),
            manifest.digest,
        )
    if uploads:
        console().print(table)
    else:
        typer.echo(f"no model was uploaded in {now.environment} yet: `stream-scorer model deploy SOURCE --as champion`")
    _say_passed_over(passed_over)


def print_status(found: "RolloutStatus") -> None:
    """Who serves where, and what outcomes say."""
    if found.control is None:
        typer.echo(
            f"{found.environment}: no model is deployed; workers serve their model.folder. "
            "`stream-scorer model deploy SOURCE --as champion` begins."
        )
        _say_passed_over(found.passed_over)
        return
    control = found.control
    why = f": {printable(control.why)}" if control.why else ""
    typer.echo(
        f"{found.environment}: {control.act.value} by {printable(control.who)} at {printable(control.at)} "
        f"(control record {found.control_offset}){why}"
    )
    if found.candidates:
        typer.echo(f"automatic decisions: {automatic(control.test.auto)}")
    out = console()
    models = _table("ROLE", "MODEL", "THRESHOLD", "IDS", "LOADED ON", right=("THRESHOLD", "IDS"))
    for each in found.models:
        share = f"{each.share * 100:g} %" if each.share else "-"
        loaded = f"{each.loaded} of {len(found.lanes)} lanes"
        models.add_row(each.role, each.label, f"{each.threshold:.4f}", share, loaded)
    out.print(models)
    typer.echo()
    lanes = _table(
        "LANE", "STATE", "CHAMPION THERE", "FROM OBSERVATION", "WORKER", "REASON", right=("FROM OBSERVATION",)
    )
    for lane in found.lanes:
        serving = lane.serving
        lanes.add_row(
            str(lane.partition),
            lane.state,
            serving.models.champion.label if serving is not None else "-",
            f"{serving.first.observations:,}" if serving is not None else "-",
            printable(serving.worker) if serving is not None else "-",
            printable(f"{lane.model} {lane.reason}".strip()),
        )
    out.print(lanes)
    for candidate in found.candidates:
        typer.echo()
        _print_candidate(out, f"{candidate.model} ({candidate.role}) beside {candidate.champion}", candidate.progress)
        if candidate.last_revisions not in (None, candidate.progress.decision):
            typer.echo(f"  corrections counted, it would be: {candidate.last_revisions}")
        if candidate.suspended_since is not None:
            typer.echo(f"  a guard holds since {candidate.suspended_since}: nobody decides by these outcomes")
    if found.candidates:
        typer.echo()
        typer.echo(LABELS_ONLY)
    if found.late:
        typer.echo(f"{found.late:,} acts did not count, because another one was quicker")
    _say_passed_over(found.passed_over)


def _print_candidate(out: Console, title: str, progress: "CandidateProgress") -> None:
    typer.echo(f"{title}: {verdict(progress)}")
    table = _table(
        "  CONDITION", "VALUE", "BOUNDS", "MUST BE", "STATE", "OUTCOMES TO COME", right=("OUTCOMES TO COME",)
    )
    for each in progress.conditions:
        bounds = "-" if each.low is None or each.high is None else f"{each.low:+.4f} to {each.high:+.4f}"
        table.add_row(
            f"  {each.name}",
            "-" if each.value is None else f"{each.value:+.4f}",
            bounds,
            f"{'≥' if each.at_least else '≤'} {each.bound:g}",
            state_of(each),
            "0" if each.shown else "not in sight" if each.expected_outcomes is None else f"{each.expected_outcomes:,}",
        )
    out.print(table)


def automatic(auto: bool) -> str:
    """Who promotes and withdraws."""
    return "on, the judge promotes once and withdraws" if auto else "off, people promote and withdraw"


def verdict(progress: "CandidateProgress") -> str:
    """What follows from the evidence, in one line."""
    counted = f"{progress.outcomes:,} outcomes"
    if progress.miscalibrated:
        return f"suspended, the outcomes do not fit the champion's probabilities ({counted})"
    if progress.uneven_coverage:
        return f"suspended, what the models say decides who gets an outcome ({counted})"
    if progress.decision == "withdraw":
        is_harmful = any(each.opposed for each in progress.conditions)
        return f"withdraw it, {'a harm is shown' if is_harmful else 'no gain is in sight'} ({counted})"
    if progress.decision == "promote":
        return f"promote it, every condition is shown ({counted})"
    if progress.expected_outcomes is None:
        return f"undecided ({counted})"
    return f"undecided ({counted}, about {progress.expected_outcomes:,} more until all is shown)"


def state_of(condition: "ConditionProgress") -> str:
    """How far a condition is, in one or two words."""
    if not condition.judged:
        return "not judged"
    if condition.opposed:
        return "opposite shown"
    return "shown" if condition.shown else "open"


def _table(*headings: str, right: tuple[str, ...] = ()) -> Table:
    made = Table(box=None, pad_edge=False)
    for heading in headings:
        made.add_column(heading, justify="right" if heading in right else "left", no_wrap=True)
    return made


def _say_passed_over(passed_over: int) -> None:
    if passed_over:
        typer.echo(f"{passed_over:,} records of these topics were not written by stream-scorer: passed over", err=True)
