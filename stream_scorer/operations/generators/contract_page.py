"""The generated page of the contract for producers."""

from collections.abc import Iterator

from stream_scorer.core.contract.batch_decoding import ValidEvent
from stream_scorer.core.contract.columns import COLUMNS, EVENT_BYTES_MAX, ID_BYTES_MAX, Column
from stream_scorer.core.contract.examples import OBSERVATIONS, OUTCOMES
from stream_scorer.core.contract.observation_events import stage_of, validate_observation
from stream_scorer.core.contract.outcome_events import validate_outcome
from stream_scorer.core.contract.reasons import (
    Code,
    Reason,
    Stage,
    batch_too_large,
    batch_unreadable,
    conflict,
    invalid_output,
    scoring_failed,
    unknown_id,
)
from stream_scorer.operations.generators.markdown import GENERATED, code_span, table


def contract_page() -> list[str]:
    return [
        "# The contract",
        GENERATED,
        "",
        "What makes an event valid, and the reasons that an invalid one gets. For how to send events see "
        "[producers](producers.md); for a validator without Kafka, `stream-scorer validate FILE`.",
        "",
        "## Observation events",
        "",
        f"A JSON object in UTF-8 of at most {EVENT_BYTES_MAX:,} bytes (`worker.event_bytes_max`) with `id` and "
        f"`observation`. `id` is a text of 1 to {ID_BYTES_MAX} bytes, or a whole number, which is read as text. "
        "`observation` is an object of these ten columns, no more and no fewer. Other fields beside `id` and "
        "`observation` are ignored.",
        "",
        *table(("column", "type", "allowed"), map(column_row, COLUMNS)),
        "",
        "## Outcome events",
        "",
        "A JSON object with `id`, as above, and `true_class`: `true`, `false`, `1` or `0`. Other fields are passed "
        "over.",
        "",
        "## Reasons",
        "",
        "Every fault of an event is reported, each as `code`, `field` and `message`, in the order of this table; "
        "within a code, columns come in the order of the table above. Group by `code` and `field`; messages are for "
        "people. The faults of outcome events all have the stage `outcome`.",
        "",
        *table(("code", "stage", "for example", "message"), map(code_row, Code)),
        "",
        "More examples, valid and invalid, with the reasons for each: "
        "[golden-events.jsonl](../topics/golden-events.jsonl). As JSON Schema: "
        "[observations](../topics/observations.schema.json), [outcomes](../topics/outcomes.schema.json), and all "
        "topics in one [AsyncAPI document](../topics/asyncapi.yaml).",
    ]


def column_row(column: Column) -> tuple[str, str, str]:
    if column.kind is str:
        return f"`{column.name}`", "text", " · ".join(f"`{value}`" for value in column.domain)
    if column.kind is bool:
        return f"`{column.name}`", "boolean", "`true` · `false`"
    return f"`{column.name}`", "integer", f"{column.domain[0]} to {column.domain[-1]}"


def code_row(code: Code) -> tuple[str, str, str, str]:
    example, stage, reason = example_of(code)
    return f"`{code.value}`", stage.value, example, code_span(reason.message)


def example_of(code: Code) -> tuple[str, Stage, Reason]:
    """What happened, the stage and the reason: of the plainest example that gets this code, or made up where an event
    alone can't get it."""
    found = [
        (len(reasons), len(reason.message), name, stage, reason)
        for name, stage, reasons in faulty_examples()
        for reason in reasons
        if reason.code is code
    ]
    if found:
        _, _, name, stage, reason = min(found, key=lambda each: each[:2])
        return name, stage, reason
    return {
        Code.BATCH_TOO_LARGE: (
            "a compressed batch that is far larger than valid events when decompressed",
            Stage.DECODE,
            batch_too_large(45_123, "zstd", 64 * 1024 * 1024, 250_000, 1_000_000),
        ),
        Code.BATCH_UNREADABLE: (
            "a batch that can't be decompressed",
            Stage.DECODE,
            batch_unreadable(310, "lz4", "lz4: truncated frame"),
        ),
        Code.CONFLICT: ("the id was scored before, with another observation", Stage.CONFLICT, conflict("ev-1", 7, ())),
        Code.SCORING_FAILED: ("the model raised", Stage.SCORE, scoring_failed("ValueError: negative age")),
        Code.INVALID_OUTPUT: ("the model gave no probability", Stage.OUTPUT, invalid_output(1.5)),
        Code.UNKNOWN_ID: ("no observation came within the join window", Stage.OUTCOME, unknown_id("ev-1")),
    }[code]


def faulty_examples() -> Iterator[tuple[str, Stage, tuple[Reason, ...]]]:
    """The examples that break the contract: name, stage and reasons; observations first."""
    for name, value in OBSERVATIONS.items():
        observation = validate_observation(encoded(value))
        if not isinstance(observation, ValidEvent):
            yield name, stage_of(observation), observation
    for name, value in OUTCOMES.items():
        outcome = validate_outcome(encoded(value))
        if not isinstance(outcome, ValidEvent):
            yield name, Stage.OUTCOME, outcome


def encoded(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value
