"""Which lanes could not serve a model at once."""

from collections.abc import Iterable

from stream_scorer.runtime.rollout.serving_models import models_of
from stream_scorer.runtime.rollout.switch_topic import SwitchTopic


async def lanes_without(
    switches: SwitchTopic, partitions: Iterable[int], control_offset: int, digest: str
) -> list[int]:
    """The lanes whose last switch does not say that this model is loaded there by that control record."""
    missing = []
    for partition in partitions:
        last = await switches.last(partition)
        is_loaded = (
            last is not None
            and last.control_offset == control_offset
            and last.state != "refused"
            and digest in {model.digest for model in models_of(last.models)}
        )
        if not is_loaded:
            missing.append(partition)
    return missing
