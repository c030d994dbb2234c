"""Which control record counts, and what each act makes of the models.

Invariant: all who read the topic from its beginning agree, whoever wrote at the same moment.
"""

from typing import NamedTuple

import msgspec

from stream_scorer.core.records.model_control import (
    AcceptanceTest,
    Canary,
    DeployedModels,
    ModelControl,
    ServedModel,
    UnknownFormat,
    decode_control,
)


class InForce(NamedTuple):
    """The control record that counts, and its offset."""

    offset: int
    control: ModelControl


def follow(
    environment: str, in_force: InForce | None, offset: int, value: bytes | None
) -> InForce | UnknownFormat | None:
    """What is in force after one more record of the control topic. A record counts only if it is based on the last one
    that did: of two written at the same moment the first one counts, and the other one's writer reads that it was late.
    UnknownFormat: nobody with this version can say who should serve from here on."""
    control = decode_control(value)
    if isinstance(control, UnknownFormat):
        return control
    if control is None or control.environment != environment:
        return in_force
    last = None if in_force is None else in_force.offset
    return InForce(offset, control) if control.based_on == last else in_force


class Refusal(msgspec.Struct, frozen=True):
    """Why an act can't be done, and what to do instead."""

    message: str


def deployed(models: DeployedModels, model: ServedModel | Canary, role: str) -> DeployedModels | Refusal:
    """The models with one more, as `champion`, `canary` (then `model` is one) or `shadow`. Deployed again in a role, a
    digest moves to it."""
    others = without(models, model.digest)
    if role == "champion":
        if model.digest == models.champion.digest:
            return replaced(others, champion=model)
        return replaced(others, champion=model, previous=models.champion)
    if model.digest == models.champion.digest:
        return Refusal(f"{model.label} is the champion: deploy another one as champion first")
    if role == "shadow":
        return replaced(others, shadows=(*others.shadows, model))
    if not isinstance(model, Canary):
        raise TypeError("a canary has a share and a salt")
    if others.canary is not None:
        return Refusal(f"{others.canary.label} is the canary: promote or withdraw it first")
    return replaced(others, canary=model)


def shared(models: DeployedModels, share: float) -> DeployedModels | Refusal:
    """The canary with another share of the ids, by the same salt."""
    if models.canary is None:
        return Refusal("there is no canary: deploy one first (`model deploy SOURCE --as canary`)")
    return replaced(models, canary=msgspec.structs.replace(models.canary, share=share))


def promoted(models: DeployedModels, digest: str | None = None) -> DeployedModels | Refusal:
    """The canary, or the named canary or shadow, as champion; the champion before stays at hand."""
    if digest is None and models.canary is None:
        return Refusal("there is no canary: say which shadow should be promoted")
    chosen = next((each for each in candidates_of(models) if digest in (None, each.digest)), None)
    if chosen is None:
        return Refusal(f"no candidate has the digest {digest}: `model status` lists them")
    champion = ServedModel(name=chosen.name, digest=chosen.digest, threshold=chosen.threshold)
    return replaced(without(models, chosen.digest), champion=champion, previous=models.champion)


def rolled_back(models: DeployedModels) -> DeployedModels | Refusal:
    """The champion before as champion again, and the other way round: nothing is to be loaded."""
    if models.previous is None:
        return Refusal("there is no champion before this one: deploy one (`model deploy SOURCE --as champion`)")
    return replaced(models, champion=models.previous, previous=models.champion)


def withdrawn(models: DeployedModels, digest: str) -> DeployedModels | Refusal:
    """The models without a candidate, or without the champion before."""
    if digest == models.champion.digest:
        return Refusal(f"{models.champion.label} is the champion: roll back or deploy another one as champion")
    left = without(models, digest)
    return Refusal(f"no model has the digest {digest}: `model status` lists them") if left == models else left


def without(models: DeployedModels, digest: str) -> DeployedModels:
    """The models with this digest nowhere but in the champion's place."""
    return DeployedModels(
        champion=models.champion,
        canary=None if models.canary is None or models.canary.digest == digest else models.canary,
        shadows=tuple(shadow for shadow in models.shadows if shadow.digest != digest),
        previous=None if models.previous is None or models.previous.digest == digest else models.previous,
    )


def replaced(models: DeployedModels, **changes: object) -> DeployedModels:
    return msgspec.structs.replace(models, **changes)


def in_roles(models: DeployedModels) -> list[tuple[str, ServedModel, float]]:
    """Every model with its role and its share of the ids."""
    share = 0.0 if models.canary is None else models.canary.share
    found: list[tuple[str, ServedModel, float]] = [("champion", models.champion, 1 - share)]
    if models.canary is not None:
        found.append(("canary", models.canary, share))
    found += [("shadow", shadow, 0.0) for shadow in models.shadows]
    if models.previous is not None:
        found.append(("previous", models.previous, 0.0))
    return found


def candidates_of(models: DeployedModels) -> tuple[ServedModel, ...]:
    """Who may become champion: the canary, then the shadows. The champion before is looked at, and is none."""
    return (*filter(None, [models.canary]), *models.shadows)


def judged_at_once(models: DeployedModels) -> int:
    """How many candidates share the errors."""
    return max(1, len(candidates_of(models)))


def without_auto(test: AcceptanceTest) -> AcceptanceTest:
    """The test once the right to decide by itself is spent, or was taken away."""
    return msgspec.structs.replace(test, auto=False)
