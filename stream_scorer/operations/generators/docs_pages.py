"""The pages under docs/ that say what the code says: the contract, the settings, the metrics. Law: one code gives the
same bytes, and nobody writes these pages by hand.

Write them anew: `python -m stream_scorer.operations.generators.docs_pages docs`.
"""

import sys
from collections.abc import Iterable, Iterator
from inspect import getdoc
from pathlib import Path

import msgspec
from msgspec import inspect

from stream_scorer.core.contract.batch_decoding import Accepted
from stream_scorer.core.contract.columns import COLUMNS, EVENT_BYTES_MAX, ID_BYTES_MAX, Column
from stream_scorer.core.contract.examples import OBSERVATIONS, OUTCOMES
from stream_scorer.core.contract.observation_events import examine_observation, stage_of
from stream_scorer.core.contract.outcome_events import examine_outcome
from stream_scorer.core.contract.reasons import (
    Code,
    Reason,
    Stage,
    conflict,
    invalid_output,
    scoring_failed,
    unknown_id,
)
from stream_scorer.runtime.cluster.acls import WHO, Role, rights_of
from stream_scorer.runtime.metrics.catalogue import CATALOGUE, COUNTED_MODELS_MAX, LOADED_MODELS_MAX, SERIES_MAX
from stream_scorer.runtime.metrics.definitions import Definition
from stream_scorer.runtime.settings.fields import Field, fields_of
from stream_scorer.runtime.settings.settings import Settings

REGENERATE = "make generate"
GENERATED = f"<!-- Generated from the code by `{REGENERATE}`: change the code, not this page. -->"

# More values of a label than these say no more to a reader
LABEL_VALUES_SHOWN = 24


def described_pages() -> dict[str, str]:
    """File name → text of every page that is generated."""
    pages = {
        "contract.md": contract_page(),
        "settings.md": settings_page(),
        "metrics.md": metrics_page(),
        "rights.md": rights_page(),
    }
    return {name: "\n".join(lines) + "\n" for name, lines in pages.items()}


# The rights


def rights_page() -> list[str]:
    return [
        "# Rights on Kafka",
        GENERATED,
        "",
        "The least that each user needs, where the cluster has access lists. `P` is `topics.prefix`; the group is `P` "
        "and `worker.group`. Who is several of these has the rights of all. Kafka grants Describe with Read and with "
        "Write. A worker asks at its start which of its rights are missing, and names them all.",
        *(line for role in Role for line in rights_section(role)),
    ]


def rights_section(role: Role) -> Iterator[str]:
    yield from ("", f"## {role.replace('-', ' ').capitalize()}", "", f"{WHO[role][:1].upper()}{WHO[role][1:]}.", "")
    rights = [
        (
            f"{right.kind.replace('-', ' ')}{'s that begin with' if right.prefixed else ''}",
            f"`P` + `{right.name}`",
            right.operation.value,
            right.why,
        )
        for right in rights_of(role)
    ]
    yield from table(("resource", "name", "operation", "why"), rights)


# The contract


def contract_page() -> list[str]:
    return [
        "# The contract",
        GENERATED,
        "",
        "What an event must be, and what is said of one that is not. For how to send events see "
        "[producers](producers.md); for a validator without Kafka, `stream-scorer validate FILE`.",
        "",
        "## Observation events",
        "",
        f"A JSON object in UTF-8 of at most {EVENT_BYTES_MAX:,} bytes (`worker.event_bytes_max`) with `id` and "
        f"`observation`. `id` is a text of 1 to {ID_BYTES_MAX} bytes, or a whole number, which is read as text. "
        "`observation` is an object of these ten columns, no more and no fewer. Other fields beside `id` and "
        "`observation` are passed over.",
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
        "More examples, good and bad, with what the contract says of each: "
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
        Code.CONFLICT: ("the id was scored before, with another observation", Stage.CONFLICT, conflict("ev-1", 7, ())),
        Code.SCORING_FAILED: ("the model raised", Stage.SCORE, scoring_failed("ValueError: negative age")),
        Code.INVALID_OUTPUT: ("the model gave no probability", Stage.OUTPUT, invalid_output(1.5)),
        Code.UNKNOWN_ID: ("no observation came within the join window", Stage.OUTCOME, unknown_id("ev-1")),
    }[code]


def faulty_examples() -> Iterator[tuple[str, Stage, tuple[Reason, ...]]]:
    """The examples that break the contract: name, stage and reasons; observations first."""
    for name, value in OBSERVATIONS.items():
        observation = examine_observation(encoded(value))
        if not isinstance(observation, Accepted):
            yield name, stage_of(observation), observation
    for name, value in OUTCOMES.items():
        outcome = examine_outcome(encoded(value))
        if not isinstance(outcome, Accepted):
            yield name, Stage.OUTCOME, outcome


def encoded(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value


# The settings


def settings_page() -> list[str]:
    lines = [
        "# Settings",
        GENERATED,
        "",
        "Each setting stands in a TOML file as `name` under its `[section]`, or in the variable beside it; an option "
        "of the command line wins over the variable, the variable over the file. The file is the one given with "
        "`--settings`, else the one that `STREAM_SCORER_SETTINGS` names. An unknown setting is an error, and all "
        "problems are reported at once. An empty variable sets nothing; lists are separated by commas there.",
        "",
        "Secrets never stand in the file: set the variable, or the `_file` setting beside it.",
    ]
    fields = list(fields_of(Settings))
    for section in msgspec.structs.fields(Settings):
        lines += ["", f"## {section.name}", "", getdoc(section.type) or "", ""]
        rows = [setting_row(field) for field in fields if field.section == section.name]
        lines += table(("setting", "variable", "value", "default", "what it is for"), rows)
    return lines


def setting_row(field: Field) -> tuple[str, str, str, str, str]:
    kind = "secret" if field.secret else allowed(field)
    return f"`{field.name}`", f"`{field.variable}`", kind, default_of(field), field.description


def allowed(field: Field) -> str:
    """What a setting may hold, in words."""
    if field.choices:
        return " · ".join(f"`{choice}`" for choice in field.choices)
    (kind, *_) = [kind for kind in field.kinds if not isinstance(kind, inspect.NoneType)]
    if isinstance(kind, inspect.BoolType):
        return "`true` · `false`"
    if isinstance(kind, inspect.VarTupleType):
        return "list of texts"
    if isinstance(kind, inspect.IntType | inspect.FloatType):
        word = "whole number" if isinstance(kind, inspect.IntType) else "number"
        return " ".join([word, *limits_of(kind)])
    return "text"


def limits_of(kind: inspect.IntType | inspect.FloatType) -> Iterator[str]:
    if kind.ge is not None and kind.le is not None:
        yield f"from {kind.ge:,} to {kind.le:,}"
        return
    for limit, words in ((kind.ge, "from"), (kind.gt, "above"), (kind.le, "up to")):
        if limit is not None:
            yield f"{words} {limit:,}"


def default_of(field: Field) -> str:
    if field.default in ("", (), None):
        return "none" if field.default is None else "empty"
    if isinstance(field.default, bool):
        return f"`{str(field.default).lower()}`"
    return f"`{field.default}`"


# The metrics


def metrics_page() -> list[str]:
    most = sum(definition.series_max for definition in CATALOGUE)
    by_model = [definition for definition in CATALOGUE if definition.models_max]
    whole = sum(definition.series_max // definition.models_max for definition in by_model)
    rest = most - sum(definition.series_max for definition in by_model)
    return [
        "# Metrics",
        GENERATED,
        "",
        "What a worker shows at `/metrics`, in Prometheus' text format; the rules, alerts and dashboards under "
        "`deploy/` are made of it. Times are seconds, sizes bytes. Every combination of labels is there from the "
        "start, at 0. A batch is counted after its commit, so what was aborted is not in any counter. Counters of many "
        "workers add up.",
        "",
        f"A worker shows {rest} series and {whole} for the model that it serves. Whatever comes in, and however many "
        f"models come and go, there are never more than {most:,} (the budget is {SERIES_MAX:,}): at most "
        f"{LOADED_MODELS_MAX} models with their distributions and {COUNTED_MODELS_MAX} with their outcomes; beyond "
        "that the one unheard of for longest goes. A scrape takes a few milliseconds.",
        "",
        "Where a counter has a twin that ends in `_retracted_total`, subtract the twin: it holds what corrections took "
        "back. The figure of record is `stream-scorer quality`, which reads the topics.",
        "",
        *table(("metric", "type", "unit", "labels", "what it is"), map(metric_row, CATALOGUE)),
        "",
        "`model` is `<name>@<digest>`, `role` `champion` or `canary`. What a model was trained on is shown where its "
        "card says it.",
        "",
        "Beside these stands what the Prometheus client says of the process: `process_cpu_seconds_total`, "
        "`process_resident_memory_bytes`, `process_open_fds`, `process_max_fds`, `process_start_time_seconds` and "
        "others.",
    ]


def metric_row(definition: Definition) -> tuple[str, str, str, str, str]:
    shown = [f"{label}: {values_of(definition, place)}" for place, label in enumerate(definition.labels)]
    labels = ["model", "role", *shown] if definition.models_max else shown
    unit = "" if definition.unit == "1" else definition.unit
    return f"`{definition.name}`", definition.kind, unit, "<br>".join(labels), definition.meaning


def values_of(definition: Definition, place: int) -> str:
    """A label's values; of a long list the first and last."""
    values = list(dict.fromkeys(labels[place] for labels in definition.combinations if labels))
    if not values:
        return "one value a build"
    if len(values) > LABEL_VALUES_SHOWN:
        return f"`{values[0]}` … `{values[-1]}`, {len(values)} values"
    return ", ".join(f"`{value}`" for value in values)


# Markdown


def table(headings: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    lines = [headings, ("--",) * len(headings), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]


def code_span(text: str) -> str:
    """The text as code, whatever backticks it holds; cut to what a table can bear."""
    shown = text if len(text) <= 160 else text[:160] + "…"
    return f"`` {shown} ``" if "`" in shown else f"`{shown}`"


def write_pages(folder: Path) -> None:
    for name, text in described_pages().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write_pages(Path(sys.argv[1]))
