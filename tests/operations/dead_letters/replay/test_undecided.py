"""What Kafka can't finish is begun again as where another operator has taken over, never told as done or refused."""

from typing import Any, cast

import pytest
from aiokafka.errors import KafkaError, UnknownError

from stream_scorer.errors import FencedError
from stream_scorer.operations.dead_letters.replay.action_transaction import _told
from stream_scorer.runtime.kafka.newer_errors import TransactionAbortableError


@pytest.mark.parametrize("kind", [UnknownError, TransactionAbortableError])
def test_an_undecided_transaction_is_begun_again(kind: type[KafkaError]) -> None:
    with pytest.raises(FencedError, match="could not finish a transaction"), _told(cast(Any, None)):
        raise kind
