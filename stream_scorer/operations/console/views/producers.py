"""Who sends what is broken: counts from the index at once, and scorecards with a message for each, which take a read of
the topics."""

from typing import Final

import msgspec
from aiohttp import web

from stream_scorer.operations.console.forms import filter_form
from stream_scorer.operations.console.forms.filter_form import filter_of
from stream_scorer.operations.console.jobs import Job
from stream_scorer.operations.console.rendering import redirect
from stream_scorer.operations.console.request_context import RequestContext
from stream_scorer.operations.console.views.jobs import SHOWN_MAX as CARDS_MAX
from stream_scorer.operations.dead_letters.query.filters import EVERY_STATE
from stream_scorer.operations.dead_letters.replay.retry_when_fenced import OnProgress
from stream_scorer.operations.reports.producer_scorecards import Scorecards, scorecards
from stream_scorer.runtime.cluster.topic_admin import TopicNames
from stream_scorer.runtime.kafka.client import client_options
from stream_scorer.runtime.worker.clock import wall_clock_ms

SHOWN_MAX: Final = 200


async def show(visit: RequestContext) -> web.Response:
    """The page at /producers."""
    fields = filter_form.filled_fields(visit.query)
    wanted = msgspec.structs.replace(filter_of(fields), states=EVERY_STATE)
    found = await (await visit.office()).producers(wanted)
    return visit.page(
        "producers.html",
        section="/producers",
        producers=found[:SHOWN_MAX],
        left_out=max(0, len(found) - SHOWN_MAX),
        fields=fields,
        within=filter_form.WITHIN_NAMES,
        query=filter_form.query_of,
    )


async def start_scorecards(visit: RequestContext) -> web.Response:
    """Scorecards of all that is retained, or of the last hours, as a job."""
    assert visit.form is not None
    jobs = visit.console.desk.jobs
    fields = {name: said for name, said in filter_form.filled_fields(visit.form).items() if name == "within"}
    since_ms, settings = filter_of(fields).since_ms, visit.console.settings

    async def read(on_progress: OnProgress) -> Scorecards:
        names = TopicNames(settings.topics.prefix)
        found = await scorecards(client_options(settings.kafka), names, since_ms=since_ms, on_read=on_progress)
        return found._replace(cards=found.cards[:CARDS_MAX])

    within = fields.get("within")
    job = Job(
        kind="scorecards",
        letters=f"records of the last {filter_form.WITHIN_NAMES[str(within)]}" if within else "all that is retained",
        how="",
        visitor=visit.visitor_key,
        who=visit.visitor.name or "",
        again=[],
        back="/producers",
        started_ms=wall_clock_ms(),
    )
    jobs.start(job, read, changes=False)
    return redirect(f"/jobs/{job.name}")
