"""What came of the demo, counted from the topics as a `read_committed` reader finds them; latencies alone are what
the watcher measured live.
"""

import time
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from stream_scorer.core.accounting import End
from stream_scorer.core.dead_letters import ERRORS, STAGE
from stream_scorer.core.reasons import Code, Stage
from stream_scorer.core.records import last_header
from stream_scorer.operations.audit import AuditReport, audit
from stream_scorer.operations.percentiles import latency_figures
from stream_scorer.operations.reading import Reader, Record
from stream_scorer.runtime.kafka import client_options
from stream_scorer.runtime.settings import Settings
from stream_scorer.runtime.topics import TopicNames


class Summary(msgspec.Struct, kw_only=True):
    """Records are counted once: `observations` without the copies that moves made, `dead_letters` of observations, by
    the first reason's code.

    observations = predictions + dead_letters + redelivered + unaccounted, where nothing is doubled.
    """

    observations: int
    predictions: int
    dead_letters: int
    dead_letters_by_code: dict[str, int]
    redelivered: int
    conflicts: int
    moved: int
    unaccounted: int
    duplicated: int
    outcomes: int
    outcome_updates: int
    joined: int
    corrected: int
    waited: int
    awaiting: int
    unknown: int
    repeats: int
    outcome_dead_letters: int
    outcome_dead_letters_by_code: dict[str, int]
    success_rate: float | None
    latency_ms: dict[str, float]
    worker_restarts: int = 0
    counting_s: float = 0.0

    @property
    def is_fine(self) -> bool:
        """Every record ended in exactly one place."""
        return not (self.unaccounted or self.duplicated)

    @property
    def is_settled(self) -> bool:
        """Nothing more will come of what was sent."""
        return not (self.unaccounted or self.awaiting)


class _Joined(msgspec.Struct, gc=False):
    """Of an update, what is counted."""

    id: str
    status: str
    revision: int = 1
    prediction: bool | None = None
    true_class: bool | None = None


class _LetterReason(msgspec.Struct, gc=False):
    code: str


class Verdict(NamedTuple):
    """The last word on an id."""

    revision: int
    predicted: bool
    true_class: bool


class _Counts:
    """Output records, counted as they are read."""

    def __init__(self, names: TopicNames) -> None:
        self._names = names
        self.predictions = 0
        self.updates: Counter[str] = Counter()
        self.letters: Counter[str] = Counter()
        self.outcome_letters: Counter[str] = Counter()
        self.verdicts: dict[str, Verdict] = {}
        self._decode_joined = msgspec.json.Decoder(_Joined).decode
        self._decode_reasons = msgspec.json.Decoder(list[_LetterReason]).decode

    def note(self, topic: str, records: Sequence[Record]) -> None:
        if topic == self._names.predictions:
            self.predictions += len(records)
        elif topic == self._names.dead_letters:
            for record in records:
                first = self._decode_reasons(last_header(record.headers, ERRORS) or b"[]")[0].code
                is_outcome = last_header(record.headers, STAGE) == Stage.OUTCOME.value.encode()
                (self.outcome_letters if is_outcome else self.letters)[first] += 1
        else:
            for record in records:
                self._note_update(self._decode_joined(record.value or b""))

    def _note_update(self, update: _Joined) -> None:
        self.updates["corrected" if update.status == "joined" and update.revision > 1 else update.status] += 1
        if update.status == "joined" and update.prediction is not None and update.true_class is not None:
            before = self.verdicts.get(update.id)
            if before is None or before.revision < update.revision:
                self.verdicts[update.id] = Verdict(update.revision, update.prediction, update.true_class)

    @property
    def success_rate(self) -> float | None:
        """The precision of `prediction: true` over the last words; None while there is none."""
        positives = [verdict.true_class for verdict in self.verdicts.values() if verdict.predicted]
        return round(sum(positives) / len(positives), 4) if positives else None


async def count_up(settings: Settings, latencies_ms: Sequence[float]) -> Summary:
    """Read all topics from their beginning and count what is there."""
    started = time.monotonic()
    options, names = client_options(settings.kafka), TopicNames(settings.topics.prefix)
    report = await audit(
        options, names, settings.group_name, count_unread=True, join_window_s=settings.worker.join_window_s
    )
    counts = _Counts(names)
    async with Reader(options) as reader:
        spans = await reader.spans((names.predictions, names.dead_letters, names.outcome_updates))
        async for partition, records in reader.read(spans):
            counts.note(partition.topic, records)
    return _summary(report, counts, latencies_ms, time.monotonic() - started)


def _summary(report: AuditReport, counts: _Counts, latencies_ms: Sequence[float], counting_s: float) -> Summary:
    return Summary(
        observations=report.inputs["observations"] - report.ended[End.MOVE],
        predictions=counts.predictions,
        dead_letters=counts.letters.total(),
        dead_letters_by_code=dict(counts.letters.most_common()),
        redelivered=report.ended[End.REDELIVERY],
        conflicts=counts.letters[Code.CONFLICT],
        moved=report.ended[End.MOVE],
        unaccounted=report.unaccounted,
        duplicated=report.duplicated + report.predicted_twice + report.strays,
        outcomes=report.inputs["outcomes"],
        outcome_updates=counts.updates.total(),
        joined=counts.updates["joined"],
        corrected=counts.updates["corrected"],
        waited=counts.updates["awaiting_prediction"],
        awaiting=report.ended[End.AWAITING],
        unknown=counts.updates["unknown"],
        repeats=report.ended[End.REPEAT],
        outcome_dead_letters=counts.outcome_letters.total(),
        outcome_dead_letters_by_code=dict(counts.outcome_letters.most_common()),
        success_rate=counts.success_rate,
        latency_ms=latency_figures(latencies_ms, (0.5, 0.99)),
        counting_s=round(counting_s, 3),
    )


def render_summary(summary: Summary) -> RenderableType:
    """The summary for people."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(justify="right", style="bold")
    table.add_column()
    table.add_row(f"{summary.observations:,}", "observations, of which")
    table.add_row(f"{summary.predictions:,}", "were scored")
    table.add_row(f"{summary.dead_letters:,}", f"went to the dead letters{_by_code(summary.dead_letters_by_code)}")
    if summary.redelivered:
        table.add_row(f"{summary.redelivered:,}", "were sent again unchanged, and not scored again")
    if summary.moved:
        table.add_row(f"{summary.moved:,}", "stood on a wrong partition, and were moved first")
    if summary.outcomes:
        table.add_row(f"{summary.outcomes:,}", "outcomes, of which")
        table.add_row(
            f"{summary.joined:,}", f"were joined with their prediction, {summary.corrected:,} of those corrected later"
        )
        table.add_row(
            f"{summary.unknown:,}",
            f"were for nobody, {summary.repeats:,} were repeats, {summary.awaiting:,} still wait",
        )
        table.add_row(
            f"{summary.outcome_dead_letters:,}",
            f"went to the dead letters{_by_code(summary.outcome_dead_letters_by_code)}",
        )
    if summary.success_rate is not None:
        table.add_row(f"{summary.success_rate:.1%}", "success rate: precision of the predictions that said `likely`")
    if summary.latency_ms:
        table.add_row(
            " · ".join(f"{ms:g}" for ms in summary.latency_ms.values()),
            "ms from an observation's timestamp to its readable prediction, p50 · p99",
        )
    if summary.worker_restarts:
        table.add_row(f"{summary.worker_restarts:,}", "times the worker ended and was started again")
    words = (
        "Every record ended in exactly one place."
        if summary.is_fine
        else f"{summary.unaccounted:,} unaccounted for, {summary.duplicated:,} accounted twice."
    )
    verdict = Text(f"{'✓' if summary.is_fine else '✗'} {words}", style="bold green" if summary.is_fine else "bold red")
    counted = Text("Counted by reading the topics back under read_committed.", style="dim")
    return Panel(
        Group(table, Text(), verdict, counted),
        box=box.ROUNDED,
        border_style="cyan",
        title="stream-scorer demo",
        title_align="left",
        expand=False,
    )


def _by_code(codes: dict[str, int]) -> str:
    return ": " + ", ".join(f"{code} {count:,}" for code, count in codes.items()) if codes else ""
