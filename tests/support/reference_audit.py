"""The tests' own reckoning of what was read back: where each input ended, and whether every output is as promised.

Invariant: written from what is promised, one record at a time and with nothing but `json`; none of the worker's or of
the audit's code decides here.
"""

import base64
import hashlib
import json
from collections import Counter, defaultdict
from datetime import datetime
from functools import cached_property
from typing import Any, NamedTuple

from aiokafka.partitioner import murmur2

from stream_scorer.core.contract.observation_code import observation_columns
from stream_scorer.runtime.cluster.topic_admin import TopicNames

# What is wrong, in words
Faults = list[str]
Record = Any
TRACE = ("traceparent", "tracestate")


class Place(NamedTuple):
    """Where a record lies in its topic."""

    partition: int
    offset: int


class Read(NamedTuple):
    """All records of an environment, partition by partition in the order of their offsets."""

    observations: list[Record]
    outcomes: list[Record]
    predictions: list[Record]
    updates: list[Record]
    letters: list[Record]


class Said(NamedTuple):
    """What an input says, as far as JSON goes."""

    id: str
    event: dict[str, Any]


def said(value: bytes | None) -> Said | None:
    """What an input says; None where it does not name an id."""
    try:
        event = json.loads(value or b"")
        id_ = event["id"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return Said(str(id_), event) if type(id_) in (str, int) and str(id_) else None


def said_id(value: bytes | None) -> str | None:
    """The id that an input names; None where it can't be a key."""
    found = said(value)
    try:
        return found.id.encode().decode() if found is not None else None
    except UnicodeEncodeError:
        return None


def home_of(id_: str, partitions: int = 4) -> int:
    """The partition of an id, as Java's clients have it."""
    return int((murmur2(id_.encode()) & 0x7FFFFFFF) % partitions)


def place(record: Record) -> Place:
    return Place(record.partition, record.offset)


def header(record: Record, name: str) -> bytes | None:
    """The last header of that name: ours come last."""
    found = [value for key, value in record.headers if key == name]
    return found[-1] if found else None


def own_time(output: Record) -> int:
    """The timestamp that its input had; one so far back that retention would take the output is in a header."""
    said = header(output, "scorer.event-time")
    return output.timestamp if said is None else milliseconds(said.decode())


def reasons_of(letter: Record) -> list[dict[str, Any]]:
    """Why a record became a dead letter."""
    reasons: list[dict[str, Any]] = json.loads(header(letter, "scorer.errors") or b"[]")
    return reasons


def codes_of(letter: Record) -> list[str]:
    """The codes of a dead letter's reasons."""
    return [reason["code"] for reason in reasons_of(letter)]


def source_of(letter: Record) -> tuple[str, Place]:
    """The topic and place that a dead letter was read from."""
    source = json.loads(header(letter, "scorer.source") or b"{}")
    return source["topic"], Place(source["partition"], source["offset"])


def body(record: Record) -> dict[str, Any]:
    """A prediction or an update."""
    event: dict[str, Any] = json.loads(record.value)
    return event


def source_place(event: dict[str, Any]) -> Place:
    return Place(event["source"]["partition"], event["source"]["offset"])


def milliseconds(time: str) -> int:
    return round(datetime.fromisoformat(time).timestamp() * 1000)


class Reckoning:
    """Reads the traces once; `ends` says of each input where it ended, `faults` names whatever is not as promised."""

    def __init__(self, read: Read, names: TopicNames, partitions: int, *, forgets: bool = False) -> None:
        self.read, self.names, self.partitions, self._forgets = read, names, partitions, forgets
        self.faults: Faults = []
        self.ends: dict[tuple[str, Place], str] = {}
        self._inputs = {
            names.observations: {place(record): record for record in read.observations},
            names.outcomes: {place(record): record for record in read.outcomes},
        }
        self._predictions = self._by_source(read.predictions)
        self._updates = self._by_source(read.updates)
        self._letters: defaultdict[tuple[str, Place], list[Record]] = defaultdict(list)
        for letter in read.letters:
            self._letters[source_of(letter)].append(letter)
        self._moves: defaultdict[tuple[str, Place], list[Record]] = defaultdict(list)
        for topic, records in ((names.observations, read.observations), (names.outcomes, read.outcomes)):
            for record in records:
                self._note_move(topic, record)
        # by id, the last observation that was predicted: its event and its place
        self._predicted: dict[str, tuple[dict[str, Any], Place]] = {}
        self._scored: dict[tuple[str, str], Place] = {}
        self._settle_observations()
        self._settle_outcomes()
        self._check_order()
        self._check_joins()
        self._check_strays()

    @property
    def ended(self) -> Counter[str]:
        """How many inputs ended where."""
        return Counter(self.ends.values())

    def _by_source(self, records: list[Record]) -> dict[Place, list[Record]]:
        found: defaultdict[Place, list[Record]] = defaultdict(list)
        for record in records:
            found[source_place(body(record))].append(record)
        return found

    def _note_move(self, topic: str, record: Record) -> None:
        """A header alone proves nothing: the record that it names must be the same one, and out of place."""
        claimed = header(record, "scorer.moved-from")
        if claimed is None:
            return
        try:
            event = json.loads(claimed)
            origin = Place(event["partition"], event["offset"])
        except (ValueError, KeyError, TypeError):
            return
        source, told = self._inputs[topic].get(origin), said(record.value)
        if source is None or told is None or source.value != record.value:
            return
        home = home_of(told.id, self.partitions)
        if record.partition == home != origin.partition:
            self._moves[topic, origin].append(record)

    # Observations

    def _settle_observations(self) -> None:
        topic = self.names.observations
        for record in self.read.observations:
            here = place(record)
            predictions, letters = self._predictions.get(here, []), self._letters.get((topic, here), [])
            moves = self._moves.get((topic, here), [])
            if len(predictions) + len(letters) + len(moves) > 1:
                told = [
                    (name, [place(one) for one in found])
                    for name, found in zip(
                        ("predictions", "letters", "moves"), (predictions, letters, moves), strict=True
                    )
                ]
                self._fault(topic, record, f"ended more than once: {told}")
            elif predictions:
                self._end(topic, record, "prediction")
                self._check_prediction(record, predictions[0])
            elif letters:
                self._end(topic, record, "dead_letter")
                self._check_letter(topic, record, letters[0])
            elif moves:
                self._end(topic, record, "move")
                self._check_move(topic, record, moves[0])
            elif self._is_redelivery(record):
                self._end(topic, record, "redelivery")
            else:
                self._fault(topic, record, "is unaccounted for")

    def _is_redelivery(self, record: Record) -> bool:
        told = said(record.value)
        known = self._predicted.get(told.id) if told is not None else None
        return told is not None and known is not None and known[0] == told.event.get("observation")

    def _check_prediction(self, record: Record, prediction: Record) -> None:
        topic, told, event = self.names.observations, said(record.value), body(prediction)
        if told is None:
            self._fault(topic, record, "was predicted, but names no id")
            return
        if told.id in self._predicted and not self._forgets:
            self._fault(topic, record, f"was predicted, though its id was at {self._predicted[told.id][1]}")
        self._predicted[told.id] = told.event["observation"], place(record)
        self._scored[told.id, event["scored_at"]] = place(record)
        expected = {
            "the id": (event["id"], told.id),
            "the key": (prediction.key, told.id.encode()),
            "the partition": (prediction.partition, home_of(told.id, self.partitions)),
            "the source's partition": (record.partition, prediction.partition),
            "the observation": (observation_columns(event["observation_code"]), told.event["observation"]),
            "the decision": (event["prediction"], event["proba"] >= event["threshold"]),
            "the timestamp": (own_time(prediction), record.timestamp),
            "the headers": (
                [one for one in prediction.headers if one[0] != "scorer.event-time"],
                list({name: value for name, value in record.headers if name in TRACE and len(value) <= 512}.items()),
            ),
        }
        self._compare(topic, record, "prediction", expected)

    # Outcomes

    def _settle_outcomes(self) -> None:
        topic = self.names.outcomes
        answered: dict[str, bool] = {}
        for record in self.read.outcomes:
            here = place(record)
            by_status: defaultdict[str, list[Record]] = defaultdict(list)
            for update in self._updates.get(here, []):
                by_status[body(update)["status"]].append(update)
            letters = self._letters.get((topic, here), [])
            late = [letter for letter in letters if codes_of(letter) == ["unknown_id"]]
            moves = self._moves.get((topic, here), [])
            joined, unknown, awaiting = (by_status[name] for name in ("joined", "unknown", "awaiting_prediction"))
            ended = len(joined) + len(unknown) + len(letters) - len(late) + len(moves)
            told = said(record.value)
            if ended > 1 or len(awaiting) > 1 or len(late) != len(unknown):
                self._fault(topic, record, f"ended {ended} times, waits {len(awaiting)} times")
                continue
            for letter in letters:
                self._check_letter(topic, record, letter)
            for update in (*joined, *unknown, *awaiting):
                self._check_update(record, update)
            if ended:
                end = "joined" if joined else "unknown" if unknown else "move" if moves else "dead_letter"
                self._end(topic, record, end)
                if moves:
                    self._check_move(topic, record, moves[0])
            elif awaiting:
                self._end(topic, record, "awaiting")
            elif told is not None and answered.get(told.id) == told.event.get("true_class"):
                self._end(topic, record, "repeat")
            else:
                self._fault(topic, record, "is unaccounted for")
            if told is not None and (joined or unknown or awaiting):
                answered[told.id] = told.event["true_class"]

    def _check_update(self, record: Record, update: Record) -> None:
        topic, told, event = self.names.outcomes, said(record.value), body(update)
        if told is None:
            self._fault(topic, record, "has an update, but names no id")
            return
        expected: dict[str, tuple[Any, Any]] = {
            "the id": (event["id"], told.id),
            "the key": (update.key, told.id.encode()),
            "the partition": (update.partition, home_of(told.id, self.partitions)),
            "the source's partition": (record.partition, update.partition),
            "the class": (event["true_class"], told.event["true_class"]),
            "the outcome's time": (milliseconds(event["outcome_at"]), record.timestamp),
        }
        if event["status"] == "awaiting_prediction":
            kept = event["record"]
            whole = record.value or b""
            cut = "truncation" in kept
            expected["the record kept"] = (base64.b64decode(kept["value"]), whole[: 64 * 1024] if cut else whole)
            if cut:
                expected["the digest"] = (kept["truncation"]["sha256"], hashlib.sha256(whole).hexdigest())
            expected["the timestamp"] = (own_time(update), record.timestamp)
        if event["status"] == "joined":
            expected |= self._joined_to(record, told.id, update, event)
        self._compare(topic, record, event["status"], expected)

    def _joined_to(self, record: Record, id_: str, update: Record, event: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
        at = self._scored.get((id_, event["scored_at"]))
        if at is None:
            return {"its prediction": (None, "one")}
        prediction, observed = body(self._predictions[at][0]), self._inputs[self.names.observations][at]
        observation = json.loads(observed.value)["observation"]
        same = ("prediction", "proba", "model", "role", "scored_at")
        return {
            "the observation": (event["observation"], observation),
            "the prediction": ([event[name] for name in same], [prediction[name] for name in same]),
            "whether it was correct": (event["correct"], event["prediction"] == event["true_class"]),
            "the timestamp": (own_time(update), max(record.timestamp, observed.timestamp)),
            "the delay": (event["delay_s"], (record.timestamp - observed.timestamp) / 1000),
        }

    def _check_joins(self) -> None:
        """The `joined` updates of an id tell its outcomes in their order, each change of class once."""
        joined: defaultdict[str, list[tuple[int, bool]]] = defaultdict(list)
        for update in self.read.updates:
            event = body(update)
            if event["status"] == "joined":
                joined[event["id"]].append((event["revision"], event["true_class"]))
        reported: defaultdict[str, list[bool]] = defaultdict(list)
        for record in self.read.outcomes:
            told = said(record.value)
            if self.ends.get((self.names.outcomes, place(record))) in ("joined", "repeat") and told is not None:
                reported[told.id].append(told.event["true_class"])
        for id_, classes in reported.items():
            if self._forgets:
                continue
            changes = [new for before, new in zip([None, *classes], classes, strict=False) if new != before]
            expected = [(revision, new) for revision, new in enumerate(map(bool, changes), 1)]
            if id_ in joined and joined[id_] != expected:
                self.faults.append(f"{id_} was reported as {classes} and joined as {joined[id_]}")

    # Dead letters, moves, and what is said of nothing

    def _check_letter(self, topic: str, record: Record, letter: Record) -> None:
        errors = header(letter, "scorer.errors") or b""
        source = json.loads(header(letter, "scorer.source") or b"{}")
        cut = header(letter, "scorer.truncated") or b"null"
        expected: dict[str, tuple[Any, Any]] = {
            "the partition": (letter.partition, record.partition),
            "the timestamp": (letter.timestamp, milliseconds((header(letter, "scorer.failed-at") or b"").decode())),
            "the source's timestamp": (source["timestamp"], record.timestamp),
            "the size of its reasons": (0 < len(errors) < 16 * 1024, True),
            "the place for Kafka's own tools": (
                (header(letter, "__streams.errors.topic"), header(letter, "__streams.errors.offset")),
                (topic.encode(), str(record.offset).encode()),
            ),
        }
        if cut == b"null":
            expected["the bytes"] = (letter.value, record.value)
            expected["the key"] = (letter.key, record.key)
            expected["the headers of its own"] = ([*letter.headers][: len(record.headers)], [*record.headers])
        else:
            whole = record.value or b""
            told = json.loads(cut)
            expected["the digest"] = (told["sha256"], hashlib.sha256(whole).hexdigest())
            expected["the size"] = (told["bytes"], len(whole))
            expected["what is kept"] = (letter.value, whole[: 64 * 1024])
        self._compare(topic, record, "dead letter", expected)
        if codes_of(letter) == ["conflict"]:
            self._check_conflict(record, reasons_of(letter)[0]["details"])

    def _check_conflict(self, record: Record, details: dict[str, Any]) -> None:
        told = said(record.value)
        known = self._predicted.get(told.id) if told is not None else None
        if told is None or known is None:
            self._fault(self.names.observations, record, "is a conflict with nothing")
            return
        observation, at = known
        differ = [name for name in observation if observation[name] != told.event["observation"][name]]
        found = details["first_offset"], sorted(details["columns"])
        self._compare(
            self.names.observations, record, "conflict", {"its pointer": (found, (at.offset, sorted(differ)))}
        )

    def _check_move(self, topic: str, record: Record, moved: Record) -> None:
        told = said(record.value)
        expected = {
            "the key": (moved.key, told.id.encode() if told else None),
            "the timestamp": (moved.timestamp, record.timestamp),
            "the headers": ([*moved.headers][:-1], [*record.headers]),
        }
        self._compare(topic, record, "move", expected)

    def _check_order(self) -> None:
        """In each partition, predictions stand in the order of their sources, each after the one before."""
        last: dict[int, int] = {}
        for record in self.read.predictions:
            offset = source_place(body(record)).offset
            if offset <= last.get(record.partition, -1):
                self.faults.append(f"the prediction at {place(record)} of offset {offset} is out of order")
            last[record.partition] = offset

    def _check_strays(self) -> None:
        """Nothing is said of an input that is not there."""
        observations, outcomes = (self._inputs[name] for name in (self.names.observations, self.names.outcomes))
        self.faults += [f"a prediction of nothing: {at}" for at in self._predictions if at not in observations]
        self.faults += [f"an update of nothing: {at}" for at in self._updates if at not in outcomes]
        self.faults += [
            f"a dead letter of nothing: {topic} {at}"
            for topic, at in self._letters
            if at not in self._inputs.get(topic, {})
        ]

    def _end(self, topic: str, record: Record, end: str) -> None:
        self.ends[topic, place(record)] = end

    def _compare(self, topic: str, record: Record, what: str, expected: dict[str, tuple[Any, Any]]) -> None:
        for name, (found, wanted) in expected.items():
            if found != wanted:
                self._fault(topic, record, f"{what}: {name} is {found!r:.300}, not {wanted!r:.300}")

    def _fault(self, topic: str, record: Record, what: str) -> None:
        self.faults.append(f"{topic}-{record.partition}@{record.offset} {what}")

    @cached_property
    def silent(self) -> int:
        """How many inputs left no record."""
        return sum(end in ("redelivery", "repeat") for end in self.ends.values())
