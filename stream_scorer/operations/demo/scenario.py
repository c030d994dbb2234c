"""What the demo sends and when: stops as they come in practice, some broken, repeated or on a wrong partition, and
outcomes that come late, early, twice or for nobody.

Pure: a seed gives the same play every time.
"""

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count, takewhile

from stream_scorer.operations.sending.event_sources import SourceEvent, encode_outcome, generated_events
from stream_scorer.operations.sending.schedule import ScheduledEvent, in_due_order
from stream_scorer.runtime.cluster.topic_admin import TopicNames

EARLY_S_MAX = 1.0
# generated ahead, at most: more than a demo at any rate lasts for
EVENTS_MAX = 1_000_000_000


@dataclass(frozen=True)
class FaultShares:
    """How often things happen, each as a share of the observations."""

    broken: float = 0.03
    repeated: float = 0.01
    conflicting: float = 0.003
    on_wrong_partition: float = 0.02
    outcome: float = 0.7
    # of the outcomes
    outcome_early: float = 0.05
    outcome_corrected: float = 0.03
    outcome_repeated: float = 0.02
    outcome_broken: float = 0.01
    outcome_for_nobody: float = 0.01


# rows of a file are played as they are: each once, and what is known of their outcomes
FAITHFUL = FaultShares(
    0, 0, 0, 0, outcome=1.0, outcome_corrected=0, outcome_repeated=0, outcome_broken=0, outcome_for_nobody=0
)

# for a roll-out: nearly every stop gets its outcome, so that models are soon told apart; none comes before its
# observation, which might not be sent any more when the story ends
MANY_OUTCOMES = FaultShares(outcome=0.95, outcome_early=0, outcome_for_nobody=0)


class Play:
    """A stream of observations at `rate` a second with what follows from each, for `seconds` (None: for ever), all
    over `delay_s_max` later.
    """

    def __init__(
        self,
        names: TopicNames,
        *,
        rate: float,
        seconds: float | None = None,
        delay_s: float = 2.0,
        delay_s_max: float = 6.0,
        shares: FaultShares = FaultShares(),
        seed: int = 1,
    ) -> None:
        self._names, self._rate, self._seconds, self._seed = names, rate, seconds, seed
        self._delay_s, self._delay_s_max, self._shares = delay_s, delay_s_max, shares
        self._draw = random.Random(seed)
        self._strangers = count()

    def generated(self) -> Iterator[ScheduledEvent]:
        """Generated stops."""
        return self.of(
            generated_events(EVENTS_MAX, seed=self._seed, broken_share=self._shares.broken, id_prefix="stop-")
        )

    def of(self, events: Iterable[SourceEvent]) -> Iterator[ScheduledEvent]:
        """These events."""
        due = ((index / self._rate, event) for index, event in enumerate(events))
        in_time = takewhile(lambda pair: self._seconds is None or pair[0] < self._seconds, due)
        return in_due_order((self._group(due_s, event) for due_s, event in in_time), ahead_s=EARLY_S_MAX)

    def _group(self, due_s: float, event: SourceEvent) -> list[ScheduledEvent]:
        """An event and everything that follows from it."""
        shares = self._shares
        observation = self._observation(due_s, event)
        group = [observation]
        if not event.is_broken and self._happens(shares.repeated):
            group.append(observation._replace(due_s=due_s + self._later()))
        if not event.is_broken and self._happens(shares.conflicting):
            group.append(observation._replace(due_s=due_s + self._later(), value=_another_age(event.value)))
        if event.true_class is not None and event.id is not None and self._happens(shares.outcome):
            group += self._outcomes(due_s, event.id, event.true_class)
        return group

    def _observation(self, due_s: float, event: SourceEvent) -> ScheduledEvent:
        # a producer that hashes otherwise, or sends no key, puts events on any partition
        key = None if self._happens(self._shares.on_wrong_partition) else event.key
        return ScheduledEvent(due_s, self._names.observations, key, event.value)

    def _outcomes(self, due_s: float, event_id: str, true_class: bool) -> Iterator[ScheduledEvent]:
        shares = self._shares
        early = self._happens(shares.outcome_early)
        at_s = max(0.0, due_s - self._draw.uniform(0, EARLY_S_MAX)) if early else due_s + self._later()
        yield self._outcome(at_s, event_id, true_class)
        if self._happens(shares.outcome_repeated):
            yield self._outcome(max(at_s, due_s) + self._later() / 2, event_id, true_class)
        if self._happens(shares.outcome_corrected):
            yield self._outcome(max(at_s, due_s) + self._later() / 2, event_id, not true_class)
        if self._happens(shares.outcome_broken):
            yield self._outcome(due_s, f"{event_id}-b", "maybe")
        if self._happens(shares.outcome_for_nobody):
            yield self._outcome(due_s, f"stranger-{next(self._strangers):08d}", true_class)

    def _outcome(self, due_s: float, event_id: str, true_class: object) -> ScheduledEvent:
        return ScheduledEvent(due_s, self._names.outcomes, event_id.encode(), encode_outcome(event_id, true_class))

    def _later(self) -> float:
        return min(self._draw.expovariate(1 / self._delay_s), self._delay_s_max / 2) + 0.05

    def _happens(self, share: float) -> bool:
        return self._draw.random() < share


def _another_age(value: bytes) -> bytes:
    """The event with its age changed by one year within the contract."""
    head, rest = value.split(b'"SubjectAge":', 1)
    digits = len(rest) - len(rest.lstrip(b"0123456789"))
    age = int(rest[:digits])
    return b'%b"SubjectAge":%d%b' % (head, age - 1 if age >= 100 else age + 1, rest[digits:])
