"""Acts on models: planned and shown first, then done as they were shown.

Invariant: nothing is written that was not confirmed on the state that it was shown for.
"""

from typing import Final

from aiohttp import web
from multidict import MultiMapping

from stream_scorer.core.records.model_control import ControlAct
from stream_scorer.errors import OvertakenError, SettingsError
from stream_scorer.operations.console.rendering import redirect
from stream_scorer.operations.console.request_context import RequestContext
from stream_scorer.operations.console.views.models import chip
from stream_scorer.operations.rollout.planned_act import PlannedAct
from stream_scorer.operations.rollout.service import WHY_CHARACTERS_MAX, Rollout, served
from stream_scorer.operations.rollout.status import RolloutStatus

ROLES: Final = ("shadow", "canary", "champion")
TITLES: Final = {
    "deploy": "Deploy",
    "share": "Change the share",
    "promote": "Promote",
    "rollback": "Roll back",
    "withdraw": "Withdraw",
    "stop": "Stop",
    "auto": "Automatic decisions",
}
# What outcomes show of the candidate is said before it is done
JUDGED_ACTS: Final = (ControlAct.PROMOTE, ControlAct.WITHDRAW)
# What a form says of an act, beside which one it is
FIELDS: Final = ("do", "model", "role", "share", "threshold", "force", "auto", "why")


async def plan(visit: RequestContext) -> web.Response:
    """What will happen, to be confirmed."""
    form = visit.form
    assert form is not None

    async def looked(rollout: Rollout) -> tuple[PlannedAct, RolloutStatus]:
        return await planned_by(rollout, form), await rollout.status()

    planned, status = await visit.console.models.ask(looked)
    judged = next((each for each in status.candidates if each.model == planned.model), None)
    fields = [(name, str(form[name])) for name in FIELDS if form.get(name)]
    based_on = "" if planned.based_on is None else str(planned.based_on)
    return visit.page(
        "model_act.html",
        section="/models",
        title=TITLES[str(form["do"])],
        planned=planned,
        progress=None if judged is None or planned.act not in JUDGED_ACTS else judged.progress,
        chip=None if judged is None else chip(judged),
        why=_why(form),
        fields=[*fields, ("based_on", based_on)],
    )


async def act(visit: RequestContext) -> web.Response:
    """The act, as it was confirmed."""
    form = visit.form
    assert form is not None
    who = visit.visitor.name

    async def done(rollout: Rollout) -> None:
        planned = await planned_by(rollout, form)
        based_on = "" if planned.based_on is None else str(planned.based_on)
        if based_on != str(form.get("based_on", "")):
            raise OvertakenError("another act came first")
        await rollout.commit(planned, _why(form), who)

    try:
        await visit.console.models.ask(done)
    except OvertakenError:
        return visit.message(
            409,
            "Another act came first",
            "Somebody changed the models after you were shown what would happen. Nothing was changed by you. Look at "
            "what is there now, and say it again if you still want it.",
            back="/models",
        )
    return redirect("/models")


async def planned_by(rollout: Rollout, form: MultiMapping[str]) -> PlannedAct:
    """The act that a form asks for. Raises SettingsError, ModelError."""
    do, model = str(form.get("do", "")), str(form.get("model", "")) or None
    if do == "deploy":
        return await _deploy(rollout, model, form)
    if do == "share":
        return await rollout.plan_share(_percent(form))
    if do == "promote":
        return await rollout.plan_promote(model, force=bool(form.get("force")))
    if do == "rollback":
        return await rollout.plan_rollback()
    if do == "withdraw":
        return await rollout.plan_withdraw(model)
    if do == "auto":
        return await rollout.plan_auto(on=bool(form.get("auto")))
    if do == "stop" and model is not None:
        return await rollout.plan_stop(model)
    raise SettingsError("the form does not say what to do: use one of its buttons")


async def _deploy(rollout: Rollout, model: str | None, form: MultiMapping[str]) -> PlannedAct:
    role = str(form.get("role", ""))
    if model is None or role not in ROLES:
        raise SettingsError("choose an uploaded model, and whether it becomes shadow, canary or champion")
    manifest = (await rollout.find_upload(model)).manifest
    chosen = served(manifest.name, manifest.digest, _threshold(form, manifest.threshold))
    share = _percent(form) if role == "canary" else 0.0
    return await rollout.plan_deploy(chosen, role, share=share, auto=bool(form.get("auto")))


def _percent(form: MultiMapping[str]) -> float:
    return _number(form, "share", 100.0, "the share is a percentage between 0 and 100") / 100


def _threshold(form: MultiMapping[str], otherwise: float) -> float:
    if not str(form.get("threshold", "")).strip():
        return otherwise
    return _number(
        form, "threshold", 1.0, "the threshold is a probability between 0 and 1, or empty for the model's own"
    )


def _number(form: MultiMapping[str], field: str, highest: float, otherwise: str) -> float:
    said = str(form.get(field, "")).strip()
    try:
        number = float(said)
    except ValueError:
        number = -1.0
    if not 0 <= number <= highest:
        raise SettingsError(f"{otherwise}, not {said[:20]!r}")
    return number


def _why(form: MultiMapping[str]) -> str:
    return str(form.get("why", "")).strip()[:WHY_CHARACTERS_MAX]
