"""The gateway's connection to Kafka, made again whenever it was lost.

Invariant: an outage never ends the process; meanwhile whoever asks is told at once.
"""

import asyncio
import logging
from contextlib import AsyncExitStack
from typing import Final

from aiokafka.errors import KafkaError

from stream_scorer.client import Client
from stream_scorer.client.stop_lookup import StopLookup
from stream_scorer.errors import OutageError, UserError
from stream_scorer.gateway.outcome_replies import OutcomeReplies
from stream_scorer.runtime.kafka.errors import to_user_error, what_happened
from stream_scorer.runtime.settings.settings import Settings

LOOK_EVERY_S: Final = 1.0
RECONNECT_EVERY_S: Final = 1.0

log = logging.getLogger(__name__)


class KafkaLink:
    """A client, a reader of outcome updates and look-ups of state: all there or all away."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client: Client | None = None
        self._replies: OutcomeReplies | None = None
        self._lookup: StopLookup | None = None
        self._why = f"Kafka does not answer at {settings.kafka.bootstrap}"
        self._watching: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Connect; where Kafka is away, go on trying. Raises TopicsError and SettingsError, which no waiting mends."""
        try:
            await self._connect()
        except OutageError as error:
            self._why = str(error)
            log.warning("Kafka is not available, the gateway keeps trying: %s", error)
        self._watching = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        await self._disconnect()

    @property
    def is_up(self) -> bool:
        return self._client is not None

    @property
    def client(self) -> Client:
        """Raises OutageError while Kafka is away."""
        if self._client is None:
            raise OutageError(self._why)
        return self._client

    @property
    def replies(self) -> OutcomeReplies:
        """Raises OutageError while Kafka is away."""
        if self._replies is None:
            raise OutageError(self._why)
        return self._replies

    @property
    def lookup(self) -> StopLookup:
        """Raises OutageError while Kafka is away."""
        if self._lookup is None:
            raise OutageError(self._why)
        return self._lookup

    async def _connect(self) -> None:
        async with AsyncExitStack() as started:
            client = await started.enter_async_context(Client.of(self._settings))
            replies = OutcomeReplies(self._settings, client.partitions)
            try:
                await replies.start()
                started.push_async_callback(replies.stop)
                lookup = await started.enter_async_context(StopLookup(self._settings))
            except (KafkaError, OSError) as error:
                bootstrap = self._settings.kafka.bootstrap
                known = to_user_error(error, "connecting", bootstrap)
                if isinstance(known, UserError):
                    raise known from error
                raise OutageError(
                    f"Kafka does not answer at {bootstrap} while connecting: {what_happened(error)}"
                ) from error
            started.pop_all()
        self._client, self._replies, self._lookup = client, replies, lookup

    async def _disconnect(self) -> None:
        client, replies, lookup = self._client, self._replies, self._lookup
        self._client = self._replies = self._lookup = None
        stopping = [replies.stop()] if replies is not None else []
        if lookup is not None:
            stopping.append(lookup.__aexit__())
        if client is not None:
            stopping.append(client.__aexit__(None, None, None))
        # a client that has lost its broker may end with any error; there is nothing left of it to save
        await asyncio.gather(*stopping, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                if self._client is None:
                    await self._connect()
                    log.info("Kafka answers again")
                elif self._replies is None or not await self._replies.is_well() or not self._client.is_listening:
                    self._why = f"Kafka does not answer at {self._settings.kafka.bootstrap}"
                    log.warning("%s; the gateway reconnects", self._why)
                    await self._disconnect()
            except UserError as error:
                self._why = str(error)
                await asyncio.sleep(RECONNECT_EVERY_S)
            except Exception as error:
                self._why = f"Kafka can't be used at {self._settings.kafka.bootstrap} ({type(error).__name__})"
                log.exception("the connection to Kafka could not be made")
                await asyncio.sleep(RECONNECT_EVERY_S)
