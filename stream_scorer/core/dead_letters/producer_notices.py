"""A message to a producer, ready to be sent: what was wrong with its records, since when, and what to change.

Invariant: it holds nothing of what the records say of a person, and no claim that its scorecard does not hold.
"""

from collections.abc import Mapping
from typing import Final

from stream_scorer.core.contract.columns import ID_BYTES_MAX
from stream_scorer.core.contract.reasons import Code
from stream_scorer.core.dead_letters.producer_scorecards import OTHERS, UNNAMED, Fault, Scorecard
from stream_scorer.core.records.record import rfc3339

FAULTS_LISTED: Final = 10
# Where a message goes on to what would be right, which is said once
ALLOWED: Final = ". Allowed values are: "
# the end of the year 9999, beyond which no time can be written
LATEST_MS: Final = 253_402_300_799_999

ADVICE: Final[Mapping[Code, str]] = {
    Code.NOT_JSON: "send one JSON object in UTF-8 a record, with nothing behind it, and no NaN",
    Code.TOO_LARGE: "a valid event has some 300 bytes: send nothing else in it",
    Code.BATCH_TOO_LARGE: "send smaller batches (a lower `batch.size`): valid events never decompress to so many bytes",
    Code.BATCH_UNREADABLE: "compress with gzip, snappy, lz4 or zstd as Kafka's own clients do",
    Code.NOT_AN_OBJECT: 'send an object: {"id": …, "observation": {…}}',
    Code.MISSING_ID: "give every event an `id`",
    Code.INVALID_ID: f"make `id` a text of 1 to {ID_BYTES_MAX} bytes in UTF-8, or a whole number",
    Code.MISSING_OBSERVATION: "put the ten columns into an object named `observation`",
    Code.OBSERVATION_NOT_AN_OBJECT: "make `observation` an object, not a text that holds one, a list or null",
    Code.MISSING_COLUMNS: "send all ten columns, whatever their values",
    Code.UNRECOGNIZED_COLUMNS: "send the ten columns of the contract and no others inside `observation`",
    Code.INVALID_VALUE: "send one of the allowed values, letter by letter: case and blanks count",
    Code.NOT_AN_INTEGER: 'send a whole number as JSON writes it: 20, not 20.0, "20" or null',
    Code.OUT_OF_RANGE: "send a number within the range; hour 0 is midnight",
    Code.CONFLICT: "use an id for one observation only; to send the same again, send it unchanged",
    Code.MISSING_TRUE_CLASS: "give every outcome its `true_class`",
    Code.INVALID_TRUE_CLASS: "send `true_class` as true, false, 1 or 0",
    Code.UNKNOWN_ID: "send an outcome under the id of its observation, and send that observation too",
}
GREETED_OTHERWISE: Final = {UNNAMED: "the sender of records without a client-id header", OTHERS: "all other producers"}


def notice_text(card: Scorecard) -> str:
    """The message as plain text; what it says is the card's."""
    paragraphs = [f"To {GREETED_OTHERWISE.get(card.producer, _one_line(card.producer))}", _figures(card)]
    faults = card.ranked_faults
    paragraphs += [_fault(number, fault) for number, fault in enumerate(faults[:FAULTS_LISTED], start=1)]
    if len(faults) > FAULTS_LISTED:
        paragraphs.append(f"… and {len(faults) - FAULTS_LISTED} more kinds of faults.")
    if card.moved:
        paragraphs.append(_moved(card))
    if card.producer == UNNAMED:
        paragraphs.append(
            "Please name yourself in a `client-id` header of every record, so that we can tell you apart."
        )
    if card.broken:
        paragraphs.append(
            "Invalid records were not scored; they are kept as dead letters. `stream-scorer validate FILE` checks "
            "events before they are sent, without Kafka, and topics/golden-events.jsonl has a valid and an invalid "
            "event for every rule."
        )
    return "\n\n".join(paragraphs) + "\n"


def _figures(card: Scorecard) -> str:
    period = f" from {time_of(card.first_ms)} to {time_of(card.last_ms)}" if card.sent else ""
    broken = f"{card.broken:,} ({card.broken_share:.2%}) broke the contract"
    since = f", the first at {time_of(card.broken_since_ms)}, the last at {time_of(card.broken_last_ms)}"
    return f"Of {_records(card.sent)} that you sent{period}, {broken}{since if card.broken else ''}."


def _fault(number: int, fault: Fault) -> str:
    where = f" in {fault.field}" if fault.field else ""
    period = f"{time_of(fault.first_ms)} to {time_of(fault.last_ms)}"
    lines = [f"{number}. {fault.code.value}{where}: {_records(fault.count)}, {period}"]
    allowed = ""
    for example in fault.examples:
        said, _, allowed = example.message.partition(ALLOWED)
        lines.append(f"   {example.origin}: {_one_line(said)}")
    if allowed:
        lines.append(f"   {ALLOWED.removeprefix('. ')}{_one_line(allowed)}")
    if advice := ADVICE.get(fault.code):
        lines.append(f"   What to do: {advice}.")
    return "\n".join(lines)


def _moved(card: Scorecard) -> str:
    return (
        f"{card.moved:,} of your records ({card.moved_share:.2%}), the first at {time_of(card.moved_since_ms)}, lay on "
        "another partition than their id's and had to be moved, which takes time and loses their order. "
        "What to do: key every record by its id, and choose the partition as Java's clients do (librdkafka and kcat: "
        "partitioner=murmur2_random)."
    )


def _records(count: int) -> str:
    return f"{count:,} record" + "s" * (count != 1)


def _one_line(text: str) -> str:
    """The text without what would break a line or speak to a terminal: names and values are anybody's."""
    return "".join(character if character.isprintable() else "�" for character in text)


def time_of(time_ms: int | None) -> str:
    """A record's time for people, to the second."""
    # producers set these times, as they like
    return rfc3339(min(max(time_ms or 0, 0), LATEST_MS))[:19] + "Z"
