"""How far errands are, and what came of them."""

from aiohttp import web

from stream_scorer.core.dead_letters.producer_notices import notice_text
from stream_scorer.operations.console.request_context import RequestContext

SHOWN_MAX = 100
TITLES = {
    "check": "Check against today's contract",
    "dry-run": "Dry run of a replay",
    "replay": "Replay",
    "discard-dry-run": "Dry run of a discard",
    "discard": "Discard",
    "scorecards": "Scorecards of producers",
}


async def listing(visit: RequestContext) -> web.Response:
    """The page at /errands."""
    return visit.page(
        "errands.html", section="/errands", errands=visit.console.desk.errands.newest_first(), titles=TITLES
    )


async def show(visit: RequestContext) -> web.Response:
    """The page at /errands/NAME."""
    try:
        errand = visit.console.desk.errands[visit.request.match_info["name"]]
    except KeyError:
        return visit.message(
            404,
            "This errand is not known",
            "Errands are known until the process that ran them ends. What it did stands in the ledger: see the "
            "history of a letter.",
            back="/errands",
        )
    limit = visit.console.settings.business.dead_letter_share_max
    return visit.page(
        "errand.html",
        section="/errands",
        errand=errand,
        title=TITLES[errand.kind],
        shown_max=SHOWN_MAX,
        message_to=notice_text,
        limit=limit,
    )
