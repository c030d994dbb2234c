"""Dead letters in groups, and the letters of a filter."""

from collections.abc import Sequence
from typing import Any, Final

from aiohttp import web
from markupsafe import Markup

from stream_scorer.core.records.dead_letter_reader import Position, milliseconds_or_zero
from stream_scorer.errors import SettingsError
from stream_scorer.operations.console.formatting import instant
from stream_scorer.operations.console.forms import filter_form, fix_form
from stream_scorer.operations.console.forms.filter_form import Fields, filter_of, in_words, query_of
from stream_scorer.operations.console.forms.fix_form import FixFields
from stream_scorer.operations.console.request_context import RequestContext
from stream_scorer.operations.console.svg_charts import ranked_series, sparkline, stacked_bars
from stream_scorer.operations.dead_letters.query.aggregation import ReasonGroup
from stream_scorer.operations.dead_letters.query.filters import WAITING, Filter, State
from stream_scorer.operations.dead_letters.service import DeadLetterService
from stream_scorer.runtime.worker.clock import wall_clock_ms

PER_PAGE: Final = 50
BUCKETS: Final = 60
SPARK_BUCKETS: Final = 30
# Each spark is a question of its own, and the worker that answers it scores nothing meanwhile
SPARKS_MAX: Final = 12
SPARKS_LETTERS_MAX: Final = 200_000
GROUPS_SHOWN_MAX: Final = 200


async def groups(visit: RequestContext) -> web.Response:
    """The page at /dead-letters: what is wrong, most frequent first."""
    fields = filter_form.filled_fields(visit.query)
    wanted, problem = _filter(fields)
    office = await visit.office()
    found, total = await office.groups(wanted), await office.count(wanted)
    since_ms, until_ms = _span(wanted, found)
    buckets = await office.over_time(wanted, buckets=BUCKETS, since_ms=since_ms, until_ms=until_ms)
    sparks = await _sparks(office, wanted, found, since_ms, until_ms) if total <= SPARKS_LETTERS_MAX else []
    series = ranked_series(buckets)
    return visit.page(
        "dead_letter_groups.html",
        section="/dead-letters",
        notices=[problem] if problem else [],
        groups=[(group, _group_query(fields, group), spark) for group, spark in found_with(found, sparks)],
        left_out=max(0, len(found) - GROUPS_SHOWN_MAX),
        total=total,
        chart=stacked_bars(buckets, series, f"{total} dead letters over time, by their first code"),
        series=series,
        axis=_axis(since_ms, until_ms),
        axis_ms=(since_ms, until_ms),
        all_query=query_of(fields),
        **_filter_fields(fields),
    )


def found_with(
    found: Sequence[ReasonGroup], sparks: Sequence[Markup | None]
) -> list[tuple[ReasonGroup, Markup | None]]:
    """Groups that are shown, each with its drawing or none."""
    shown = list(found[:GROUPS_SHOWN_MAX])
    return list(zip(shown, [*sparks, *[None] * len(shown)][: len(shown)], strict=True))


async def _sparks(
    office: DeadLetterService, wanted: Filter, found: Sequence[ReasonGroup], since_ms: int, until_ms: int
) -> list[Markup]:
    sparks = []
    for group in found[:SPARKS_MAX]:
        narrowed = _narrowed(wanted, group)
        buckets = await office.over_time(narrowed, buckets=SPARK_BUCKETS, since_ms=since_ms, until_ms=until_ms)
        counts = [float(sum(counts.values())) for _, counts in buckets]
        sparks.append(sparkline(counts, f"{group.code} over time", "fault"))
    return sparks


def _narrowed(wanted: Filter, group: ReasonGroup) -> Filter:
    return Filter(
        code=group.code,
        field=group.field if group.field is not None else wanted.field,
        stage=wanted.stage,
        since_ms=wanted.since_ms,
        until_ms=wanted.until_ms,
        partition=wanted.partition,
        id=wanted.id,
        producer=wanted.producer,
        text=wanted.text,
        states=wanted.states,
    )


def _group_query(fields: Fields, group: ReasonGroup) -> str:
    return query_of(fields, code=group.code, field=group.field or fields.get("field"))


async def listing(visit: RequestContext) -> web.Response:
    """The page at /dead-letters/list: the letters of a filter, newest first, and what can be done with all of them."""
    fields = filter_form.filled_fields(visit.query)
    wanted, problem = _filter(fields)
    before = Position.parse(visit.query.get("before", ""))
    office = await visit.office()
    found, total = await office.find(wanted, limit=PER_PAGE + 1, before=before), await office.count(wanted)
    shown = found[:PER_PAGE]
    older = query_of(fields, before=str(shown[-1].place)) if len(found) > PER_PAGE else None
    return visit.page(
        "dead_letter_list.html",
        section="/dead-letters",
        notices=[problem] if problem else [],
        letters=shown,
        total=total,
        older=older,
        is_first=before is None,
        list_query=query_of(fields),
        letters_in_words=in_words(fields),
        hidden=hidden_fields(fields),
        fix=FixFields(),
        **fix_fields(),
        **_filter_fields(fields),
    )


def hidden_fields(fields: Fields) -> list[tuple[str, str]]:
    """The filter as fields of a form that acts on its letters."""
    pairs: list[tuple[str, str]] = []
    for name, value in fields.items():
        pairs += [(name, value)] if isinstance(value, str) else [(name, one) for one in value]
    return pairs


def fix_fields() -> dict[str, Any]:
    """What the form of a fix offers."""
    return {"fixes": fix_form.ABOUT, "columns": [*fix_form.COLUMNS, "true_class"]}


def _filter(fields: Fields) -> tuple[Filter, str | None]:
    try:
        return filter_of(fields), None
    except SettingsError as error:
        return filter_of({}), f"The filter was ignored: {error}"


def _filter_fields(fields: Fields) -> dict[str, Any]:
    states = fields.get("state")
    return {
        "fields": fields,
        "chosen_states": states if isinstance(states, list) else [state.value for state in State if state in WAITING],
        "states": list(State),
        "choices": filter_form.CHOICES,
        "within": filter_form.WITHIN_NAMES,
        "has_filter": bool(fields),
    }


def _span(wanted: Filter, found: Sequence[ReasonGroup]) -> tuple[int, int]:
    """The time range of the chart: that of the filter, else from the first dead letter to the last."""
    now_ms = wall_clock_ms()
    firsts = [first for group in found if (first := _milliseconds(group.first_at))]
    lasts = [last for group in found if (last := _milliseconds(group.last_at))]
    since_ms = wanted.since_ms if wanted.since_ms is not None else min(firsts, default=now_ms - 3_600_000)
    until_ms = wanted.until_ms if wanted.until_ms is not None else max(lasts, default=now_ms) + 1
    if wanted.until_ms is None and now_ms - until_ms < (now_ms - since_ms) / 2:
        until_ms = now_ms  # a drawing that ends now says whether it goes on
    return since_ms, max(until_ms, since_ms + BUCKETS)


def _milliseconds(at: str) -> int | None:
    return milliseconds_or_zero(at.encode()) or None


def _axis(since_ms: int, until_ms: int) -> list[str]:
    """Five times below the drawing, as fine as its span needs."""
    span_ms = until_ms - since_ms
    times = [instant(since_ms + span_ms * part // 4) for part in range(5)]
    if span_ms < 10 * 60_000:
        return [each[11:19] for each in times]
    return [each[11:16] for each in times] if span_ms < 36 * 3_600_000 else [each[5:10] for each in times]
