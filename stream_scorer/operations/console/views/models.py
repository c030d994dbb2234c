"""Models in production: who serves where, what outcomes say of candidates, and what was done by whom."""

import asyncio
from typing import Final, NamedTuple

from aiohttp import web

from stream_scorer.core.records.model_control import ModelControl
from stream_scorer.core.rollout.control import InForce, judged_at_once
from stream_scorer.operations.console.evidence_charts import EvidenceChart, evidence_charts
from stream_scorer.operations.console.request_context import RequestContext
from stream_scorer.operations.rollout.evidence_log import EvidencePoint
from stream_scorer.operations.rollout.model_store import UploadedModel
from stream_scorer.operations.rollout.service import Rollout
from stream_scorer.operations.rollout.status import CandidateStatus, RolloutStatus

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


async def show(visit: RequestContext) -> web.Response:
    """The page at /models."""
    looked = await visit.console.models.ask(look)
    control = looked.status.control
    charts = {} if control is None else await asyncio.to_thread(_charts, looked, control)
    return visit.page(
        "models.html",
        section="/models",
        rollout=looked.status,
        uploads=list(reversed(looked.uploads))[:UPLOADS_SHOWN_MAX],
        acts=list(reversed(looked.acts))[:ACTS_SHOWN_MAX],
        charts=charts,
        chips={each.digest: chip(each) for each in looked.status.candidates},
        condition_words=condition_words,
    )


async def look(rollout: Rollout) -> Looked:
    """Read on, and everything that the page shows."""
    status = await rollout.status()
    uploads, _ = await rollout.uploads()
    growth = {each.digest: rollout.growth(each.digest) for each in status.candidates}
    return Looked(status, uploads, rollout.acts(), growth)


def _charts(looked: Looked, control: ModelControl) -> dict[str, list[EvidenceChart]]:
    threshold = control.models.champion.threshold
    judged = judged_at_once(control.models)
    return {
        digest: evidence_charts(points, threshold, control.test, judged) for digest, points in looked.growth.items()
    }


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
