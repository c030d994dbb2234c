"""Events that were sent and wait for their answers.

Invariant: pure but for the one that each answer is given to; a record is matched by its source, never by its id alone.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec

from stream_scorer.client.results import Answer, Predicted, Rejected
from stream_scorer.core.records.dead_letter_reader import UnreadableDeadLetter, read_letter
from stream_scorer.core.records.decode import decode_or_none
from stream_scorer.core.records.prediction import Prediction
from stream_scorer.core.records.record import ConsumedRecord, Source

# Answers that came before Kafka had acknowledged what they answer, or before a move was followed; the oldest give way
EARLY_MAX: Final = 10_000

_decode_prediction: Final = msgspec.json.Decoder(Prediction).decode


class Waiter(Protocol):
    """Who waits for an answer, as a future does: it is told once, with an answer or with why none can come."""

    def done(self) -> bool: ...
    def set_result(self, result: Answer, /) -> None: ...
    def set_exception(self, exception: BaseException, /) -> None: ...


@dataclass(eq=False, slots=True)
class PendingRequest:
    """One event on its way. `id` and `code` are None where it has none that can be read; `home`: the partition of its
    id; `source`: where it lies, None until Kafka has acknowledged it; `home_begins`: where its home partition ended
    before it was sent, for one that was sent elsewhere; `is_repeat`: nothing
    will be published of it."""

    answer: Waiter
    id: bytes | None = None
    code: int | None = None
    home: int | None = None
    home_begins: int = 0
    source: Source | None = None
    moved_from: Source | None = None
    sent_s: float = 0.0
    is_repeat: bool = False

    @property
    def is_astray(self) -> bool:
        """Whether it lies where its id does not belong, so that it is moved before it is scored."""
        return self.source is not None and self.home is not None and self.source.partition != self.home


class PendingRequests:
    """All that wait, found by the source of what answers them."""

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._waiting: set[PendingRequest] = set()
        self._by_source: dict[Source, PendingRequest] = {}
        self._unplaced: set[PendingRequest] = (
            set()
        )  # whose answer can't be matched yet: unacknowledged, or about to be moved
        self._ids: Counter[bytes] = Counter()
        self._early: dict[Source, Answer] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[PendingRequest]:
        return iter(list(self._waiting))

    def add(self, question: PendingRequest) -> None:
        """Before it is sent: its answer may come sooner than Kafka's acknowledgement."""
        self._waiting.add(question)
        self._unplaced.add(question)
        if question.id is not None:
            self._ids[question.id] += 1

    def add_all(self, questions: Sequence[PendingRequest]) -> None:
        """The same for many."""
        self._waiting.update(questions)
        self._unplaced.update(questions)
        self._ids.update([question.id for question in questions if question.id is not None])

    def place(self, question: PendingRequest, source: Source) -> None:
        """Say where it lies: after its acknowledgement, and again once a move was followed."""
        if question.source is not None:
            self._by_source.pop(question.source, None)
            question.moved_from = question.moved_from or question.source
        question.source = source
        if not question.is_astray:
            self._unplaced.discard(question)
        early = self._early.pop(source, None)
        if early is not None:
            self._give(question, early)
        else:
            self._by_source[source] = question

    def remove(self, question: PendingRequest) -> None:
        """Nobody waits for it any more."""
        self._waiting.discard(question)
        self._unplaced.discard(question)
        if question.source is not None and self._by_source.get(question.source) is question:
            del self._by_source[question.source]
        if question.id is not None:
            self._ids[question.id] -= 1
            if not self._ids[question.id]:
                del self._ids[question.id]
        if not self._waiting:
            self._early.clear()

    def take_predictions(self, records: Iterable[ConsumedRecord]) -> None:
        """Answer those whose predictions these are. Most are other people's: their keys tell, without decoding one."""
        ids = self._ids
        for record in records:
            if record.key in ids:
                prediction = decode_or_none(_decode_prediction, record.value)
                if prediction is not None:  # else not the worker's: it writes nothing that this does not read
                    self._take(prediction.source, Predicted(prediction))

    def take_letters(self, partition: int, records: Iterable[ConsumedRecord]) -> None:
        """Answer those whose dead letters these are."""
        for record in records:
            letter = read_letter(partition, record)
            if isinstance(letter, UnreadableDeadLetter) or letter.origin.topic != self._topic:
                continue
            source = Source(letter.origin.partition, letter.origin.offset)
            self._take(source, Rejected(letter.reasons, letter.stage, source, Source(partition, record.offset)))

    def fail(self, error: BaseException) -> None:
        """Tell everybody who waits that no answer can come."""
        for question in self:
            if not question.answer.done():
                question.answer.set_exception(error)

    def _take(self, source: Source, answer: Answer) -> None:
        question = self._by_source.get(source)
        if question is not None:
            self._give(question, answer)
            return
        if self._unplaced:
            self._early[source] = answer
            if len(self._early) > EARLY_MAX:
                del self._early[next(iter(self._early))]

    def _give(self, question: PendingRequest, answer: Answer) -> None:
        if not question.answer.done():
            if question.moved_from is not None and isinstance(answer, Predicted):
                answer = msgspec.structs.replace(answer, moved_from=question.moved_from)
            question.answer.set_result(answer)
