"""One dead letter: its bytes with the reasons marked in place, its history, and a form to fix it."""

import asyncio
from typing import Final

from aiohttp import web

from stream_scorer.core.records.dead_letter_reader import Position
from stream_scorer.errors import SettingsError, UserError
from stream_scorer.operations.console.forms.fix_form import FixFields
from stream_scorer.operations.console.request_context import RequestContext
from stream_scorer.operations.console.views.dead_letter_list import fix_fields
from stream_scorer.operations.dead_letters.query.lineage import History
from stream_scorer.operations.dead_letters.query.view import DeadLetterView
from stream_scorer.operations.dead_letters.service import DeadLetterService, Preview

WHY_CHARACTERS_MAX: Final = 300
REVEAL_FIRST: Final = "Reveal the dead letter first: the result of a fix depends on its personal data."


async def show(visit: RequestContext) -> web.Response:
    """The page at /dead-letters/PLACE, personal data masked."""
    return await _page(visit)


async def reveal(visit: RequestContext) -> web.Response:
    """The same with everything shown; the ledger says who looked."""
    place = _place(visit)
    if place is None:
        return _unknown(visit)
    assert visit.form is not None
    office = await visit.office()
    # what is begun here ends, whether or not somebody still waits for the page
    shown = await asyncio.shield(_noted(office, place, str(visit.form.get("why", ""))[:WHY_CHARACTERS_MAX]))
    return await _page(visit, shown=shown)


async def _noted(office: DeadLetterService, place: Position, why: str) -> DeadLetterView:
    shown = await office.reveal(place, why=why)
    await office.refresh()
    return shown


async def preview(visit: RequestContext) -> web.Response:
    """The letter with what the contract would say of it, mended as the form says; only that part for the script."""
    place, fix = _place(visit), FixFields(visit.form)
    if place is None:
        return _unknown(visit)
    if visit.request.headers.get("X-Part") != "preview":
        return await _page(visit, fix=fix)
    previewed, wrong = await _previewed(visit, place, fix, revealed=_was_revealed(visit, place))
    return visit.page("preview.html", fix=fix, preview=previewed, wrong=wrong)


async def _page(
    visit: RequestContext, *, shown: DeadLetterView | None = None, fix: FixFields | None = None
) -> web.Response:
    place = _place(visit)
    if place is None:
        return _unknown(visit)
    fields = fix or FixFields()
    office = await visit.office()
    shown = shown or await office.show(place)
    revealed = not shown.masked or _was_revealed(visit, place)
    previewed, wrong = await _previewed(visit, place, fields, revealed=revealed)
    return visit.page(
        "dead_letter.html",
        section="/dead-letters",
        shown=shown,
        place=place,
        history=await _history(office, place, masked=not visit.visitor.may_act),
        fix=fields,
        preview=previewed,
        wrong=wrong,
        hidden=[("place", str(place))],
        seal=visit.visitor.seal(_revealed(place)) if revealed else "",
        **fix_fields(),
    )


async def _previewed(
    visit: RequestContext, place: Position, fields: FixFields, *, revealed: bool
) -> tuple[Preview | None, str | None]:
    """What the contract would say, or what is wrong with the fix. It answers questions about masked bytes (an operation
    `test` of a patch is one), so only a user whose access is in the ledger gets a result."""
    try:
        fix = fields.fix()
    except SettingsError as error:
        return None, str(error)
    if not revealed:
        return None, None if fields.is_empty else REVEAL_FIRST
    return await (await visit.office()).preview(place, fix, revealed=True), None


async def _history(office: DeadLetterService, place: Position, *, masked: bool) -> History | str:
    try:
        return await office.history(place, masked=masked)
    except UserError as error:
        return str(error)


def _revealed(place: Position) -> str:
    return f"revealed {place}"


def _was_revealed(visit: RequestContext, place: Position) -> bool:
    """Whether the form was on a page that had revealed the letter: then its preview is revealed too."""
    seal = str(visit.form.get("seal", "")) if visit.form is not None else ""
    return visit.visitor.may_act and visit.visitor.is_seal(_revealed(place), seal)


def _place(visit: RequestContext) -> Position | None:
    return Position.parse(visit.request.match_info["place"])


def _unknown(visit: RequestContext) -> web.Response:
    return visit.message(
        404,
        "Dead letter not found",
        "A dead letter is named by its partition and offset, like 2@1234.",
        back="/dead-letters",
    )
