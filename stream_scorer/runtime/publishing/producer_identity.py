"""Under which name a worker writes: a transactional id with the producer id and epoch that Kafka gave it last.

Invariant: whoever initialises an id last is the only one who can write or commit under it.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from aiokafka import TopicPartition, errors
from aiokafka.protocol.transaction import InitProducerIdRequest_v0

from stream_scorer.runtime.kafka.protocol.client import SOON_WAIT_S, ProtocolClient, transaction_coordinator
from stream_scorer.runtime.kafka.protocol.error_codes import ErrorCode
from stream_scorer.runtime.kafka.protocol.messages import DescribeTransactionsRequestV0

# The time-out of transactions that there are none of
NO_TRANSACTIONS_MS: Final = 60_000
# How a transaction was, or will be, decided, by the coordinator's state of it; no other state is a decision
_DECISIONS: Final = {"PrepareCommit": True, "CompleteCommit": True, "PrepareAbort": False, "CompleteAbort": False}


@dataclass
class ProducerIdentity:
    """`sequences`: for each partition the number of the next record, counted anew in each epoch. `was_committed`: how
    the last transaction under this id was decided before we initialised it; None where the coordinator does not say.
    Without a transactional id, an empty one, a producer is idempotent and no more."""

    transactional_id: str
    id: int
    epoch: int
    was_committed: bool | None = None
    sequences: Counter[TopicPartition] = field(default_factory=Counter)

    def renew(self, producer_id: int, epoch: int) -> None:
        """Go on under the producer id and epoch that Kafka answered."""
        self.id, self.epoch = producer_id, epoch
        self.sequences = Counter()


async def initialise(client: ProtocolClient, transactional_id: str, timeout_ms: int) -> ProducerIdentity:
    """Once this returns, whoever wrote under this id writes no more, and what they left open is aborted."""
    request = InitProducerIdRequest_v0(transactional_id, timeout_ms)
    answers_now = (ErrorCode.NONE, ErrorCode.CONCURRENT_TRANSACTIONS)
    while True:
        # before each attempt, because a successful one forgets it
        was_committed = await _last_decision(client, transactional_id)
        answer = await client.ask(
            transaction_coordinator(transactional_id),
            request,
            lambda answer: [] if answer.error_code in answers_now else [answer.error_code],
        )
        if not answer.error_code:
            return ProducerIdentity(transactional_id, answer.producer_id, answer.producer_epoch, was_committed)
        await asyncio.sleep(SOON_WAIT_S)


async def idempotent(client: ProtocolClient) -> ProducerIdentity:
    """A producer of nobody's: Kafka tells its records that are sent again from new ones."""
    request = InitProducerIdRequest_v0(None, NO_TRANSACTIONS_MS)
    answer = await client.ask(None, request, lambda answer: [answer.error_code])
    return ProducerIdentity("", answer.producer_id, answer.producer_epoch)


async def _last_decision(client: ProtocolClient, transactional_id: str) -> bool | None:
    """How the last transaction under an id was decided; None where there is none, or it is open, or the broker, one
    before Kafka 2.8, does not tell."""
    no_such = (ErrorCode.TRANSACTIONAL_ID_NOT_FOUND,)
    try:
        answer = await client.ask(
            transaction_coordinator(transactional_id),
            DescribeTransactionsRequestV0([transactional_id], {}),
            lambda answer: [one[0] for one in answer.transactions if one[0] not in no_such],
        )
    except errors.IncompatibleBrokerVersion:
        return None
    _, _, state, *_ = answer.transactions[0]
    return _DECISIONS.get(state)
