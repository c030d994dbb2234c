"""What should come of a lane's records, said as simply as can be: one record at a time, in a dictionary.

The real thing works on whole batches, on packed bytes, with an overlay and a state that is made again; this does not.
"""

from dataclasses import dataclass, field

Fact = tuple[object, ...]


@dataclass
class Early:
    """An outcome that waits."""

    true_class: bool
    outcome_ms: int
    offset: int


@dataclass
class Known:
    """A scored observation."""

    code: int
    offset: int
    event_ms: int
    scored_ms: int
    true_class: bool | None = None
    revision: int = 0


@dataclass
class PlainDictionary:
    """Says for every record what becomes of it; `broken` are the codes of observations that can't be scored."""

    window_ms: int
    broken: frozenset[int]
    waiting_max: int
    known: dict[bytes, Known] = field(default_factory=dict)
    early: dict[bytes, list[Early]] = field(default_factory=dict)

    def observe(self, id_: bytes, code: int, offset: int, timestamp_ms: int, now_ms: int) -> list[Fact]:
        known = self._live(id_, now_ms)
        if known is not None:
            return [("redelivered", offset) if known.code == code else ("conflict", offset, known.offset)]
        if code in self.broken:
            return [("failed", offset)]
        event_ms = min(timestamp_ms, now_ms) if timestamp_ms >= 0 else now_ms
        self.known[id_] = Known(code, offset, event_ms, now_ms)
        facts: list[Fact] = [("predicted", id_, code, offset)]
        for early in self.early.pop(id_, []):
            facts += self._join(id_, self.known[id_], early)
        return facts

    def learn(self, id_: bytes, true_class: bool, offset: int, timestamp_ms: int, now_ms: int) -> list[Fact]:
        outcome_ms = min(timestamp_ms, now_ms) if timestamp_ms >= 0 else now_ms
        early = Early(true_class, outcome_ms, offset)
        known = self._live(id_, now_ms)
        if known is not None:
            return [("repeat", offset)] if known.true_class == true_class else self._join(id_, known, early)
        queue = self.early.setdefault(id_, [])
        if queue and queue[-1].true_class == true_class:
            return [("repeat", offset)]
        facts: list[Fact] = [("awaiting", id_, true_class, outcome_ms, offset)]
        if len(queue) == self.waiting_max:
            facts.append(("unknown", id_, queue.pop(0).offset))
        queue.append(early)
        return facts

    def expire(self, now_ms: int) -> list[Fact]:
        facts: list[Fact] = []
        for id_, queue in list(self.early.items()):
            facts += [("unknown", id_, each.offset) for each in queue if each.outcome_ms < now_ms - self.window_ms]
            self.early[id_] = [each for each in queue if each.outcome_ms >= now_ms - self.window_ms]
        return facts

    def _live(self, id_: bytes, now_ms: int) -> Known | None:
        known = self.known.get(id_)
        return known if known is not None and known.scored_ms >= now_ms - self.window_ms else None

    def _join(self, id_: bytes, known: Known, early: Early) -> list[Fact]:
        known.true_class, known.revision = early.true_class, known.revision + 1
        delay_s = (early.outcome_ms - known.event_ms) / 1000
        return [("joined", id_, known.revision, early.true_class, known.code, delay_s, early.offset)]
