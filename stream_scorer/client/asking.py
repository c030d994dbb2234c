"""Sends events and waits for their answers. Law: an event goes to the partition of its id, keyed by it, unless told
otherwise, so that nothing has to be moved.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping
from types import TracebackType
from typing import Any, Final, Self, TypedDict, Unpack

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from stream_scorer.client.answers import Answer, Refused, Unanswered
from stream_scorer.client.checking import Event, check, encode_event, encoded
from stream_scorer.client.listening import Listener
from stream_scorer.client.questions import Question
from stream_scorer.core import reasons
from stream_scorer.core.contract import EVENT_BYTES_MAX
from stream_scorer.core.decoding import examine_observation, stage_of
from stream_scorer.core.looking import Accepted
from stream_scorer.core.outcomes import examine_outcome
from stream_scorer.core.partitioning import partition_of
from stream_scorer.core.records import Source
from stream_scorer.errors import Known, OutageError
from stream_scorer.runtime.kafka import client_options, explain
from stream_scorer.runtime.settings import Settings, load_settings
from stream_scorer.runtime.topics import TopicNames
