"""What came of the demo's roll-out: who was withdrawn and promoted, whose predictions were published, and whether each
is what its model says.
"""

from collections.abc import Mapping

import msgspec

from stream_scorer.models.registry.model_directory import load_model
from stream_scorer.operations.audit.evidence import At
from stream_scorer.operations.backtest.as_served import as_served
from stream_scorer.operations.backtest.retained_rows import Range
from stream_scorer.operations.demo.rollout_story import RolloutStory
from stream_scorer.runtime.cluster.topic_admin import TopicNames
from stream_scorer.runtime.kafka.client import client_options
from stream_scorer.runtime.settings.settings import Settings


class RolloutSummary(msgspec.Struct, kw_only=True):
    """`withdrawn`, `promoted`: names, None where outcomes did not show enough; with how many outcomes it took.
    `published`: predictions by model. Of the `predictions` that were read again, `same` came out as they were
    published, by the model that the switches name for their offsets; those of the warm-up are left out of both."""

    withdrawn: str | None
    withdrawn_after_outcomes: int | None
    promoted: str | None
    promoted_after_outcomes: int | None
    published: dict[str, int]
    switches: int
    predictions: int
    same: int


async def sum_up(story: RolloutStory, settings: Settings, published: Mapping[str, int]) -> RolloutSummary:
    """Read every prediction again and say what came of the story."""
    report = await as_served(
        client_options(settings.kafka),
        TopicNames(settings.topics.prefix),
        [load_model(model.folder) for model in story.models],
        Range(At(), At()),
        event_bytes_max=settings.worker.event_bytes_max,
    )
    progress, models = story.progress, story.models
    return RolloutSummary(
        withdrawn=None if progress.withdrawn_at is None else models.too_few.name,
        withdrawn_after_outcomes=progress.withdrawn_at,
        promoted=None if progress.promoted_at is None else models.challenger.name,
        promoted_after_outcomes=progress.promoted_at,
        published=dict(published),
        switches=report.switches,
        predictions=report.predictions,
        same=report.same,
    )
