"""Jobs: their progress and their results."""

from dataclasses import replace
from typing import Final

from aiohttp import web

from stream_scorer.core.dead_letters.producer_notices import notice_text
from stream_scorer.operations.console.auth import Principal
from stream_scorer.operations.console.jobs import Job
from stream_scorer.operations.console.request_context import RequestContext

# Of what a job has read one by one, so much is shown and kept
SHOWN_MAX: Final = 100
TITLES = {
    "check": "Check against the current contract",
    "dry-run": "Dry run of a replay",
    "replay": "Replay",
    "discard-dry-run": "Dry run of a discard",
    "discard": "Discard",
    "scorecards": "Producer scorecards",
}


# What came of these depends on masked bytes, and they carry the fix's values and the note of who asked
ASKING_TO_ACT = frozenset(TITLES) - {"scorecards"}


def masked_for(visitor: Principal, job: Job) -> Job:
    """A job as a user may see it in a list: of an action, viewers see only that there was one."""
    if visitor.may_act or job.kind not in ASKING_TO_ACT:
        return job
    return replace(job, letters="dead letters", how="", again=[], back="/dead-letters", report=None, trouble=None)


async def listing(visit: RequestContext) -> web.Response:
    """The page at /jobs."""
    shown = [masked_for(visit.visitor, each) for each in visit.console.desk.jobs.newest_first()]
    return visit.page("jobs.html", section="/jobs", jobs=shown, titles=TITLES)


async def show(visit: RequestContext) -> web.Response:
    """The page at /jobs/NAME."""
    try:
        job = visit.console.desk.jobs[visit.request.match_info["name"]]
    except KeyError:
        return visit.message(
            404,
            "Job not found",
            "The console keeps a job for 12 hours, until it restarts, and until you have started 50 newer ones. The "
            "ledger records what it did: see the history of a dead letter.",
            back="/jobs",
        )
    if job.kind in ASKING_TO_ACT and not visit.visitor.may_act:
        return visit.must_act()
    limit = visit.console.settings.business.dead_letter_share_max
    return visit.page(
        "job.html",
        section="/jobs",
        job=job,
        title=TITLES[job.kind],
        shown_max=SHOWN_MAX,
        message_to=notice_text,
        limit=limit,
    )
