"""An act on the models, planned: the control record that would do it, and what will happen in words.

Invariant: what is confirmed is what is written, based on what was in force when it was planned.
"""

import secrets

import msgspec

from stream_scorer.core.records.model_control import (
    FORMAT,
    AcceptanceTest,
    Canary,
    ControlAct,
    DeployedModels,
    ModelControl,
    ServedModel,
)
from stream_scorer.core.rollout import control as rules
from stream_scorer.core.rollout.control import InForce, Refusal
from stream_scorer.errors import ModelError

SALT_BYTES = 16
JUDGE_DECIDES = (
    "the judge promotes a candidate by itself, once, when every condition is shown, and withdraws those shown to be "
    "worse or of no gain"
)
PEOPLE_DECIDE = "nothing is promoted or withdrawn by itself any more"


class PlannedAct(msgspec.Struct, frozen=True, kw_only=True):
    """`act` on `model` (its label; empty where it needs none). `words`: what will happen, one sentence."""

    act: ControlAct
    model: str
    models: DeployedModels
    test: AcceptanceTest
    based_on: int | None
    words: str

    def control(self, environment: str, who: str, at: str, why: str) -> ModelControl:
        """The record that does it."""
        return ModelControl(
            format=FORMAT,
            environment=environment,
            based_on=self.based_on,
            act=self.act,
            models=self.models,
            test=self.test,
            who=who,
            at=at,
            why=why,
        )


def deploy(
    in_force: InForce | None, model: ServedModel, role: str, *, share: float, test: AcceptanceTest, environment: str
) -> PlannedAct:
    """One more model, as `champion`, `canary` or `shadow`. Raises ModelError where that can't be."""
    if in_force is None:
        if role != "champion":
            raise ModelError(
                f"no model is deployed in {environment} yet, so there is nothing to compare {model.label} with: deploy "
                "the one that serves now first (`stream-scorer model deploy SOURCE --as champion`)"
            )
        models = DeployedModels(champion=model)
        words = f"{model.label} becomes the first champion of {environment}; workers ignore their model.folder then"
        return _planned(in_force, ControlAct.DEPLOY, model.label, models, test, words)
    before = in_force.control.models
    chosen: ServedModel = model
    if role == "canary":
        fields = msgspec.structs.asdict(model)
        chosen = Canary(**fields, share=share, salt=secrets.token_hex(SALT_BYTES))
    models = _possible(rules.deployed(before, chosen, role))
    if role == "champion" and model.digest == before.champion.digest:
        words = f"{model.label} stays champion of {environment}, positive from {model.threshold:g} on"
    elif role == "champion":
        words = (
            f"{model.label} replaces {before.champion.label} as champion of {environment}, lane by lane at the next "
            f"batch; {before.champion.label} stays loaded for a roll-back"
        )
    elif role == "canary":
        words = (
            f"{model.label} becomes the canary of {environment}: {percent(share)} of the ids get its predictions, "
            f"all others those of {before.champion.label}"
        )
    else:
        words = f"{model.label} becomes a shadow in {environment}: it is scored, nobody gets its predictions"
    if test.auto:
        words += f"; {JUDGE_DECIDES}"
    elif in_force.control.test.auto:
        words += f"; {PEOPLE_DECIDE}"
    return _planned(in_force, ControlAct.DEPLOY, model.label, models, test, words)


def share(in_force: InForce | None, part: float, environment: str) -> PlannedAct:
    """The canary with another share."""
    before = _deployed(in_force, environment)
    models = _possible(rules.shared(before.control.models, part))
    canary, was = models.canary, before.control.models.canary
    assert canary is not None
    assert was is not None
    words = (
        f"the canary {canary.label} of {environment} gets {percent(part)} of the ids instead of {percent(was.share)}"
    )
    words += "; ids that have it keep it" if part >= was.share else "; the others go back to the champion"
    return _planned(before, ControlAct.SHARE, canary.label, models, before.control.test, words)


def promote(in_force: InForce | None, digest: str | None, environment: str) -> PlannedAct:
    """A candidate becomes champion."""
    before = _deployed(in_force, environment)
    models = _possible(rules.promoted(before.control.models, digest))
    was, now = before.control.models.champion.label, models.champion.label
    words = (
        f"{now} replaces {was} as champion of {environment}, for all ids, lane by lane at the next batch; {was} stays "
        "loaded for a roll-back"
    )
    return _planned(before, ControlAct.PROMOTE, now, models, rules.without_auto(before.control.test), words)


def roll_back(in_force: InForce | None, environment: str) -> PlannedAct:
    """The champion before becomes champion again."""
    before = _deployed(in_force, environment)
    models = _possible(rules.rolled_back(before.control.models))
    was, now = before.control.models.champion.label, models.champion.label
    words = f"{now} replaces {was} as champion of {environment} again; it is loaded already"
    return _planned(before, ControlAct.ROLLBACK, now, models, rules.without_auto(before.control.test), words)


def withdraw(in_force: InForce | None, digest: str | None, environment: str) -> PlannedAct:
    """A candidate goes; without a digest the canary."""
    before = _deployed(in_force, environment)
    models = before.control.models
    if digest is None:
        if models.canary is None:
            raise ModelError("there is no canary: say which shadow should be withdrawn; `model status` lists them")
        digest = models.canary.digest
    if models.previous is not None and digest == models.previous.digest:
        raise ModelError(f"{models.previous.label} is no candidate: `model stop` unloads it")
    return _without(before, ControlAct.WITHDRAW, digest, environment)


def auto(in_force: InForce | None, *, on: bool, environment: str) -> PlannedAct:
    """The judge may decide by itself, or may not any more."""
    before = _deployed(in_force, environment)
    models, test = before.control.models, before.control.test
    if on and not rules.candidates_of(models):
        raise ModelError(
            "there is no candidate to decide on: deploy one first (`model deploy SOURCE --as shadow --auto`)"
        )
    if on == test.auto:
        raise ModelError(f"automatic decisions are {'on' if on else 'off'} in {environment} already")
    words = f"in {environment}, {JUDGE_DECIDES if on else PEOPLE_DECIDE}"
    return _planned(before, ControlAct.AUTO, "", models, msgspec.structs.replace(test, auto=on), words)


def stop(in_force: InForce | None, digest: str, environment: str) -> PlannedAct:
    """A shadow, the canary or the champion before is unloaded."""
    return _without(_deployed(in_force, environment), ControlAct.STOP, digest, environment)


def _without(before: InForce, act: ControlAct, digest: str, environment: str) -> PlannedAct:
    models = before.control.models
    left = _possible(rules.withdrawn(models, digest))
    label = label_of(models, digest)
    words = f"{label} is unloaded by all workers of {environment}"
    if models.canary is not None and models.canary.digest == digest:
        words += f"; its {percent(models.canary.share)} of the ids go back to {models.champion.label}"
    if models.previous is not None and models.previous.digest == digest:
        words += "; no roll-back is possible then"
    return _planned(before, act, label, left, before.control.test, words)


def label_of(models: DeployedModels, digest: str) -> str:
    """What a model that is deployed is called; its digest where it is not."""
    every = (models.champion, models.canary, models.previous, *models.shadows)
    return next((model.label for model in every if model is not None and model.digest == digest), digest)


def percent(part: float) -> str:
    return f"{part * 100:g} %"


def _deployed(in_force: InForce | None, environment: str) -> InForce:
    if in_force is None:
        raise ModelError(
            f"no model is deployed in {environment} yet: `stream-scorer model deploy SOURCE --as champion` begins"
        )
    return in_force


def _possible(models: DeployedModels | Refusal) -> DeployedModels:
    if isinstance(models, Refusal):
        raise ModelError(models.message)
    return models


def _planned(
    before: InForce | None, act: ControlAct, model: str, models: DeployedModels, test: AcceptanceTest, words: str
) -> PlannedAct:
    based_on = None if before is None else before.offset
    return PlannedAct(act=act, model=model, models=models, test=test, based_on=based_on, words=words)
