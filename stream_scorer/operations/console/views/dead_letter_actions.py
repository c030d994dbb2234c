"""Acting on letters: a check or a dry run first, then the act, each as a job."""

from typing import Final

import msgspec
from aiohttp import web
from multidict import MultiMapping

from stream_scorer.core.dead_letters.repair import Fix
from stream_scorer.core.records.dead_letter_reader import Position
from stream_scorer.errors import SettingsError
from stream_scorer.operations.console.formatting import instant
from stream_scorer.operations.console.forms import filter_form
from stream_scorer.operations.console.forms.filter_form import Fields, filter_of, in_words, query_of
from stream_scorer.operations.console.forms.fix_form import FixFields
from stream_scorer.operations.console.jobs import Job, Work
from stream_scorer.operations.console.rendering import redirect
from stream_scorer.operations.console.request_context import RequestContext
from stream_scorer.operations.console.views.dead_letter_list import hidden_fields
from stream_scorer.operations.console.views.jobs import SHOWN_MAX
from stream_scorer.operations.dead_letters.query.filters import EVERY_STATE, Filter
from stream_scorer.operations.dead_letters.replay.discard import DiscardReport
from stream_scorer.operations.dead_letters.replay.dry_run import CheckReport
from stream_scorer.operations.dead_letters.replay.replay import ReplayReport
from stream_scorer.operations.dead_letters.replay.retry_when_fenced import OnProgress
from stream_scorer.operations.dead_letters.service import DeadLetterService
from stream_scorer.runtime.worker.clock import wall_clock_ms

KINDS: Final = ("check", "dry-run", "replay", "discard-dry-run", "discard")
CHANGES: Final = frozenset({"replay", "discard"})
WHY_CHARACTERS_MAX: Final = 300
RATE_MAX: Final = 1_000_000.0


async def start(visit: RequestContext) -> web.Response:
    """What a form asks for, started; leads to the page that shows how far it is."""
    form = visit.form
    assert form is not None
    kind = str(form.get("do", ""))
    if kind not in KINDS:
        raise SettingsError("the form names no action: use one of its buttons")
    jobs = visit.console.desk.jobs
    why = str(form.get("why", "")).strip()[:WHY_CHARACTERS_MAX]
    if kind.startswith("discard") and not why:
        raise SettingsError("a discard needs a note, which is recorded in the ledger")
    wanted, again, words, back = _letters_of(form)
    fix, office = FixFields(form), await visit.office()
    job = Job(
        kind=kind,
        letters=words,
        how=_how(kind, fix, why),
        visitor=visit.visitor_key,
        who=office.who,
        again=[*again, *fix.pairs(), *_options(form), ("why", why)],
        back=back,
        started_ms=wall_clock_ms(),
    )
    work = _work(office, kind, wanted, fix.fix(), form, why)
    jobs.start(job, work, changes=kind in CHANGES)
    return redirect(f"/jobs/{job.name}")


def _letters_of(form: MultiMapping[str]) -> tuple[Filter, list[tuple[str, str]], str, str]:
    """The filter, the same as fields of a form, in words, and the page it came from."""
    if said := form.get("place"):
        place = Position.parse(str(said))
        if place is None:
            raise SettingsError(f"{str(said)[:40]!r} is not a dead letter's position, such as 2@1234")
        only = Filter(places=(place,), states=EVERY_STATE)
        return only, [("place", str(place))], f"dead letter {place}", f"/dead-letters/{place}"
    fields: Fields = filter_form.filled_fields(form)
    # the same letters at the next step: those that have come since are not meant
    wanted = filter_of(fields)
    if wanted.until_ms is None:
        fields["until"] = _now_text()
        wanted = msgspec.structs.replace(wanted, until_ms=wall_clock_ms())
    return wanted, hidden_fields(fields), in_words(fields), f"/dead-letters/list?{query_of(fields)}"


def _now_text() -> str:
    return instant(wall_clock_ms())


def _options(form: MultiMapping[str]) -> list[tuple[str, str]]:
    return [(name, str(form[name])) for name in ("parked", "failing_too", "rate") if form.get(name)]


def _how(kind: str, fix: FixFields, why: str) -> str:
    parts = [] if kind.startswith("discard") else [fix.in_words()]
    return "; ".join([*parts, *([f"“{why}”"] if why else [])])


def _rate(form: MultiMapping[str]) -> float | None:
    said = str(form.get("rate", "")).strip()
    if not said:
        return None
    try:
        rate = float(said)
    except ValueError:
        rate = 0.0
    if not 0 < rate <= RATE_MAX:
        raise SettingsError(f"the rate is {said[:20]!r}: give the records per second, or leave it empty")
    return rate


def _work(office: DeadLetterService, kind: str, wanted: Filter, fix: Fix, form: MultiMapping[str], why: str) -> Work:
    rate, parked, failing_too = _rate(form), bool(form.get("parked")), bool(form.get("failing_too"))

    async def check(on_progress: OnProgress) -> CheckReport:
        return as_shown(await office.check(wanted, fix, on_read=on_progress, why=why))

    async def replay(on_progress: OnProgress) -> ReplayReport:
        report = await office.replay(
            wanted,
            fix,
            yes=kind == "replay",
            rate=rate,
            parked=parked,
            failing_too=failing_too,
            why=why,
            on_read=on_progress,
            on_progress=on_progress,
        )
        return msgspec.structs.replace(report, check=as_shown(report.check))

    async def discard(on_progress: OnProgress) -> DiscardReport:
        return await office.discard(wanted, why, yes=kind == "discard", on_read=on_progress)

    if kind == "check":
        return check
    return discard if kind.startswith("discard") else replay


def as_shown(report: CheckReport) -> CheckReport:
    """The report with as many letters as its page shows: a finished job is kept for hours."""
    return msgspec.structs.replace(report, letters=report.letters[:SHOWN_MAX])
