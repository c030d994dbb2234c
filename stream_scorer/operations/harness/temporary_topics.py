"""Topics of one's own on a Kafka that others use too: under a prefix that nobody else has, and gone afterwards."""

import contextlib
import secrets

from stream_scorer.runtime.cluster.topic_admin import TopicNames, admin_client
from stream_scorer.runtime.settings.settings import Settings


def temporary_prefix(purpose: str) -> str:
    """A prefix of topic names (and of groups) that nobody else has."""
    return f"{purpose}-{secrets.token_hex(3)}."


async def delete_topics(settings: Settings) -> None:
    """Delete what stands under the settings' prefix, as far as that can be done: a broker that is gone has nothing to
    tidy up, and whatever ended the work is the error to tell."""
    with contextlib.suppress(Exception):
        async with admin_client(settings) as admin:
            await admin.delete_topics(list(TopicNames(settings.topics.prefix).all))
