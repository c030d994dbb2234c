"""Models in production: who serves where, what outcomes say of candidates, and what was done by whom."""

import asyncio
from collections.abc import Sequence
from typing import Final, NamedTuple

from aiohttp import web

from stream_scorer.core.records.model_control import ModelControl, ServedModel
from stream_scorer.core.rollout.control import InForce, judged_at_once
from stream_scorer.core.rollout.score_histograms import ScoreHistograms
from stream_scorer.operations.console.evidence_charts import EvidenceChart, evidence_charts
from stream_scorer.operations.console.request_context import RequestContext
from stream_scorer.operations.console.score_charts import ScoreCharts, score_charts
from stream_scorer.operations.rollout.evidence_log import EvidencePoint
from stream_scorer.operations.rollout.service import Rollout
from stream_scorer.operations.rollout.status import CandidateStatus, RolloutStatus
from stream_scorer.runtime.rollout.model_topic import UploadedModel

ACTS_SHOWN_MAX: Final = 30
UPLOADS_SHOWN_MAX: Final = 200

# What a condition asks, in words
CONDITIONS: Final = {
    "gain": "Net benefit over the champion",
    "success_rate": "Success rate",
    "recall": "Recall, less the champion's",
    "recent": "Net benefit of the last outcomes",
}


class Looked(NamedTuple):
    """What one look at the topics gave."""

    status: RolloutStatus
    uploads: list[UploadedModel]
    acts: list[InForce]
    growth: dict[str, list[EvidencePoint]]
    histograms: dict[str, ScoreHistograms]


async def show(visit: RequestContext) -> web.Response:
    """The page at /models."""
    looked = await visit.console.models.ask(look)
    control = looked.status.control
    charts, scores = ({}, {}) if control is None else await asyncio.to_thread(_drawn, looked, control)
    return visit.page(
        "models.html",
        section="/models",
        rollout=looked.status,
        uploads=list(reversed(looked.uploads))[:UPLOADS_SHOWN_MAX],
        acts=list(reversed(looked.acts))[:ACTS_SHOWN_MAX],
        summary=[] if control is None else summary_of(looked.status, control, looked.acts),
        charts=charts,
        scores=scores,
        chips={each.digest: chip(each) for each in looked.status.candidates},
        condition_words=condition_words,
    )


async def look(rollout: Rollout) -> Looked:
    """Read on, and everything that the page shows."""
    status = await rollout.status()
    uploads, _ = await rollout.uploads()
    growth = {each.digest: rollout.growth(each.digest) for each in status.candidates}
    histograms = {each.digest: rollout.histograms(each.digest) for each in status.candidates}
    return Looked(status, uploads, rollout.acts(), growth, histograms)


def _drawn(looked: Looked, control: ModelControl) -> tuple[dict[str, list[EvidenceChart]], dict[str, ScoreCharts]]:
    """The drawings of each candidate: of its evidence, and of what both models say."""
    threshold = control.models.champion.threshold
    judged = judged_at_once(control.models)
    evidence = {
        digest: evidence_charts(points, threshold, control.test, judged) for digest, points in looked.growth.items()
    }
    thresholds = {each.digest: each.threshold for each in looked.status.models}
    scores = {
        digest: score_charts(histograms, (threshold, thresholds[digest]))
        for digest, histograms in looked.histograms.items()
    }
    return evidence, scores


def summary_of(status: RolloutStatus, control: ModelControl, acts: Sequence[InForce]) -> list[str]:
    """Who serves and why, in sentences for somebody who sees the page for the first time."""
    models = control.models
    champion = models.champion.label
    if models.canary is None:
        sentences = [f"{champion} predicts every stop of {status.environment}."]
    else:
        part = f"{models.canary.share * 100:g} %"
        sentences = [
            f"{champion} predicts the stops of {status.environment}, but for {part} of the ids: there the canary "
            f"{models.canary.label} does."
        ]
    if (began := _begun(models.champion, acts)) is not None:
        why = f": {began.why}" if began.why else ""
        sentences.append(f"{champion} became champion with the act “{began.act.value}” by {began.who}{why}.")
    if models.shadows:
        named = " and ".join(shadow.label for shadow in models.shadows)
        sentences.append(
            f"{named} {'is a shadow' if len(models.shadows) == 1 else 'are shadows'}: scored, not published."
        )
    if models.previous is not None:
        sentences.append(f"{models.previous.label}, the champion before, stays loaded for a roll-back.")
    return sentences


def _begun(champion: ServedModel, acts: Sequence[InForce]) -> ModelControl | None:
    """The act since which this champion serves, None where it lies further back than `acts`, the newest last."""
    since: ModelControl | None = None
    for act in reversed(acts):
        if act.control.models.champion.digest != champion.digest:
            return since
        since = act.control
    return since if since is not None and since.based_on is None else None


def condition_words(name: str) -> str:
    """A condition as people call it."""
    groups = name.removeprefix("gap_")
    return CONDITIONS.get(name, f"Discovery rate, {groups.replace('-', ' less ')}")


def chip(candidate: CandidateStatus) -> tuple[str, str]:
    """The verdict in a word, and how it is coloured."""
    progress = candidate.progress
    if progress.decision == "suspend":
        return "suspended", "bad"
    if progress.decision == "withdraw":
        return "harm shown" if any(each.opposed for each in progress.conditions) else "no gain in sight", "bad"
    if progress.decision == "promote":
        return "shown better", "good"
    return "undecided", "quiet"
