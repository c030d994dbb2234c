"""What `produce --wait` prints: an answer for each event, for people or for scripts."""

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import typer

from stream_scorer.commands.terminal_text import printable

if TYPE_CHECKING:
    from stream_scorer.client import Answer, Prediction
    from stream_scorer.operations.sending.schedule import ScheduledEvent
    from stream_scorer.operations.sending.score_and_wait import ScoredEvent
    from stream_scorer.runtime.cluster.topic_admin import TopicNames
    from stream_scorer.runtime.settings.settings import Settings

NAMES = ("predicted", "redelivered", "refused", "unanswered")
ID_WIDTH = 24
REFUSED_STATUS = 1
# the world's fault: try again later
UNANSWERED_STATUS = 75
INTERRUPTED = 130


def wait_for_answers(
    settings: "Settings",
    names: "TopicNames",
    timeline: "Iterator[ScheduledEvent]",
    *,
    paced: bool,
    timeout_s: float,
    as_json: bool,
) -> None:
    """Send the timeline, print each answer and how many there were of each kind; ends the command with their status."""
    printer = AnswerPrinter(as_json=as_json)
    started = time.perf_counter()
    outcomes, interrupted = asyncio.run(_ask(settings, names, timeline, paced, timeout_s, printer))
    seconds = round(time.perf_counter() - started, 3)
    result = {**printer.summary, "outcomes": outcomes, "seconds": seconds, "interrupted": interrupted}
    counted = ", ".join(f"{count:,} {name}" for name, count in printer.summary.items() if count) or "no event sent"
    sentence = f"{counted}{f', {outcomes:,} outcomes sent' if outcomes else ''} in {seconds:.1f} s"
    typer.echo(json.dumps(result) if as_json else ("Interrupted: " if interrupted else "") + sentence)
    raise typer.Exit(INTERRUPTED if interrupted else printer.exit_status)


async def _ask(
    settings: "Settings",
    names: "TopicNames",
    timeline: "Iterator[ScheduledEvent]",
    paced: bool,
    timeout_s: float,
    printer: "AnswerPrinter",
) -> tuple[int, bool]:
    """Print each answer; how many outcomes were sent, and whether somebody interrupted."""
    from stream_scorer.client import Client
    from stream_scorer.operations.harness.signals import interrupts
    from stream_scorer.operations.sending.score_and_wait import ScoreAndWait

    async with Client.of(settings) as client:
        asking = ScoreAndWait(client, observations=names.observations, timeout_s=timeout_s)
        with interrupts() as interrupted:
            async for asked in asking.answers(timeline, paced=paced, is_over=interrupted.is_set):
                printer.add(asked)
    return asking.outcomes, interrupted.is_set()


class AnswerPrinter:
    """Prints answers as they come and counts them."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self.counts: Counter[str] = Counter()

    def add(self, asked: "ScoredEvent") -> None:
        """Print one answer: a line of JSON, or a line for the event and one for each further reason."""
        name = name_of(asked.answer)
        self.counts[name] += 1
        if self._as_json:
            import msgspec

            line = {"event": asked.number, "id": asked.id, **msgspec.to_builtins(asked.answer)}
            sys.stdout.write(json.dumps(line) + "\n")
            sys.stdout.flush()
            return
        who = printable(asked.id) if asked.id is not None else f"(event {asked.number:,})"
        first, *others = result_lines(asked.answer)
        typer.echo(f"{who:<{ID_WIDTH}}  {name:<11}  {first}")
        for other in others:
            typer.echo(f"{'':<{ID_WIDTH}}  {'':<11}  {other}")

    @property
    def summary(self) -> dict[str, Any]:
        return {name: self.counts[name] for name in NAMES}

    @property
    def exit_status(self) -> int:
        """Whether all were taken; that some were refused counts more than that some wait."""
        if self.counts["refused"]:
            return REFUSED_STATUS
        return UNANSWERED_STATUS if self.counts["unanswered"] else 0


def name_of(answer: "Answer") -> str:
    return str(answer.__struct_config__.tag)


def result_lines(answer: "Answer") -> list[str]:
    """The answer in lines for people."""
    from stream_scorer.client import Predicted, Redelivered, Rejected

    if isinstance(answer, Predicted):
        moved = answer.moved_from
        where = f"(moved here from partition {moved.partition}: use its id as its key)" if moved else ""
        return [said(answer.prediction) + where]
    if isinstance(answer, Redelivered):
        return [said(answer.prediction) if answer.prediction else "scored before; its prediction was not found"]
    if isinstance(answer, Rejected):
        return [f"{reason.code}: {printable(reason.message)}" for reason in answer.reasons]
    return [answer.why]


def said(prediction: "Prediction") -> str:
    decision = "true " if prediction.prediction else "false"
    return f"{decision}  {prediction.proba:.4f}  {prediction.role} {printable(prediction.model)}"
