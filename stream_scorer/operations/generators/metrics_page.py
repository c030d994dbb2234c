"""The generated page of metrics."""

from stream_scorer.operations.generators.markdown import GENERATED, table
from stream_scorer.runtime.metrics.catalogue import CATALOGUE, COUNTED_MODELS_MAX, LOADED_MODELS_MAX, SERIES_MAX
from stream_scorer.runtime.metrics.console_catalogue import CONSOLE_CATALOGUE
from stream_scorer.runtime.metrics.definitions import Definition
from stream_scorer.runtime.metrics.evidence_catalogue import CANDIDATES_SHOWN_MAX, EVIDENCE_CATALOGUE
from stream_scorer.runtime.metrics.gateway_catalogue import GATEWAY_CATALOGUE

# More values of a label than these say no more to a reader
LABEL_VALUES_SHOWN = 24


def metrics_page() -> list[str]:
    most = sum(definition.series_max for definition in (*CATALOGUE, *EVIDENCE_CATALOGUE))
    by_model = [definition for definition in CATALOGUE if definition.models_max]
    whole = sum(definition.series_max // definition.models_max for definition in by_model)
    rest = sum(definition.series_max for definition in CATALOGUE if not definition.models_max)
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
        f"{LOADED_MODELS_MAX} models with their distributions, {COUNTED_MODELS_MAX} with their outcomes, and what "
        f"outcomes say of {CANDIDATES_SHOWN_MAX} candidates; beyond that the one unheard of for longest goes, and of "
        "those that serve shadows first. A scrape takes a few milliseconds.",
        "",
        "Where a counter has a twin that ends in `_retracted_total`, subtract the twin: it holds what corrections took "
        "back. The figure of record is `stream-scorer quality`, which reads the topics.",
        "",
        *table(("metric", "type", "unit", "labels", "what it is"), map(metric_row, CATALOGUE)),
        "",
        "`model` is `<name>@<digest>`, `role` `champion`, `canary` or `shadow`. Figures of a `shadow` are about what "
        "it would have said, those of the others about published predictions: leave it out of sums over models. What a "
        "model was trained on is shown where its card says it.",
        "",
        "The worker that owns partition 0 adds up the evidence of all lanes, and shows these; a figure that is not "
        "known has no series, and while nothing is compared there are none. The role `previous` is the former "
        "champion:",
        "",
        *table(("metric", "type", "unit", "labels", "what it is"), map(metric_row, EVIDENCE_CATALOGUE)),
        "",
        "The console's process shows these at its own `/metrics`:",
        "",
        *table(("metric", "type", "unit", "labels", "what it is"), map(metric_row, CONSOLE_CATALOGUE)),
        "",
        "A gateway's process shows these at its own `/metrics`:",
        "",
        *table(("metric", "type", "unit", "labels", "what it is"), map(metric_row, GATEWAY_CATALOGUE)),
        "",
        "Beside a worker's and a gateway's stands what the Prometheus client says of the process: "
        "`process_cpu_seconds_total`, `process_resident_memory_bytes`, `process_open_fds`, `process_max_fds`, "
        "`process_start_time_seconds` and others.",
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
