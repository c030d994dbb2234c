"""What is counted for each model: how well its predictions did, and how its probabilities lie beside those of its
training.

Invariant: a group is one value of one column, never a combination; what corrections take back has a counter of its own,
so that counters of many workers add up; the number of models with series of their own has a bound.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from stream_scorer.core.quality.counts import ConfusionCounts, Decisions, Model, QualityCounts
from stream_scorer.core.quality.drift_buckets import Codes, ProbabilityCounts
from stream_scorer.models.registry.reference_distributions import ReferenceDistributions
from stream_scorer.runtime.metrics import catalogue as catalogue
from stream_scorer.runtime.metrics.definitions import Definition, Labels
from stream_scorer.runtime.metrics.exposition import Floats, family_text, series_lines

# Of those that serve, the last to be let go come last
ROLES: Final = ("shadow", "canary", "champion")

Values = Mapping[Model, Sequence[float] | NDArray[np.generic]]


class ModelMetrics:
    """Counts by model and role; there from the start for every model that was announced."""

    def __init__(self) -> None:
        self._counted, self._retracted = QualityCounts(), QualityCounts()
        self._loaded: dict[Model, bool] = {}
        self._probabilities: dict[Model, ProbabilityCounts] = {}
        self._trained_on: dict[Model, ReferenceDistributions] = {}

    def load(self, model: Model, trained_on: ReferenceDistributions | None) -> None:
        """Let this model's series stand at 0, and what it was trained on beside them."""
        self._counted[model], self._retracted[model]  # made at first sight
        self._loaded[model] = True
        self._probabilities.setdefault(model, ProbabilityCounts())
        if trained_on is not None:
            self._trained_on[model] = trained_on
        for known in (self._probabilities, self._trained_on):
            for one in self._beyond(known, catalogue.LOADED_MODELS_MAX):
                del known[one]
        self._keep_within_bound()

    def unload(self, model: Model) -> None:
        """This model serves no more. Its counters stay, for outcomes are still to come."""
        self._loaded[model] = False
        self._trained_on.pop(model, None)

    def scored(self, model: Model, codes: Codes, decisions: Decisions, probabilities: Floats) -> None:
        """Count committed predictions of one model."""
        self._counted.count_predictions(model, codes, decisions)
        self._heard_of([model])
        self.add_probabilities(model, codes, probabilities)

    def add_probabilities(self, model: Model, codes: Codes, probabilities: Floats) -> None:
        """Count what a model said, or would have said."""
        if (counts := self._probabilities.get(model)) is not None:
            counts.add(codes, probabilities)

    def add(self, counted: QualityCounts, retracted: QualityCounts) -> None:
        """Add a committed batch's counts. A shadow that was let go, because there are too many, stays out: its counters
        would begin again with each batch."""
        if counted:
            known = [model for model in counted.models if model[1] != "shadow" or model in self._loaded]
            for model in known:
                self._counted[model].add(counted.models[model])
            self._heard_of(known)
        if retracted:
            self._retracted.add(retracted)

    def _heard_of(self, models: Iterable[Model]) -> None:
        """Those that were heard of last stand last."""
        for model in models:
            self._counted.models[model] = self._counted.models.pop(model)
        self._keep_within_bound()

    def _keep_within_bound(self) -> None:
        """A counter that ends does no harm to a rate."""
        models = self._counted.models
        for model in self._beyond(models, catalogue.COUNTED_MODELS_MAX):
            for known in (models, self._retracted.models, self._loaded, self._probabilities, self._trained_on):
                known.pop(model, None)

    def _beyond(self, known: Mapping[Model, object], most: int) -> list[Model]:
        """The models that are too many: first those that serve no more, of these the one unheard of for longest; then
        shadows."""
        in_order = sorted(known, key=lambda model: (self._loaded.get(model, False), ROLES.index(model[1])))
        return in_order[: max(0, len(known) - most)]

    def predictions(self) -> int:
        """Published predictions of all models so far, without smoke tests."""
        return sum(int(cells.predicted.sum()) for _, cells in self._published())

    def _published(self) -> Iterator[tuple[Model, ConfusionCounts]]:
        """The counts of those that predictions are published of."""
        return ((model, cells) for model, cells in self._counted.models.items() if model[1] != "shadow")

    def joined(self) -> dict[Labels, int]:
        """Joined outcomes of published predictions so far, without those that corrections took back, by the labels of
        `stream_scorer_joined_total`."""
        counts = np.zeros(len(catalogue.JOINED.combinations), dtype=np.int64)
        for model, cells in self._published():
            counts += by_group(cells.joined) - by_group(self._retracted[model].joined)
        return {labels: int(count) for labels, count in zip(catalogue.JOINED.combinations, counts, strict=True)}

    def texts(self) -> Iterator[str]:
        """Every metric of this kind, as Prometheus reads it."""
        counted = self._counted.models
        retracted = {model: self._retracted[model] for model in counted}
        loaded = {model: [float(now)] for model, now in self._loaded.items() if model in counted}
        probabilities = {model: counts.counts() for model, counts in self._probabilities.items()}
        yield text(catalogue.MODEL_LOADED, loaded)
        yield text(catalogue.TRAINING_FEATURES, {model: one.features for model, one in self._trained_on.items()})
        yield text(catalogue.PROBABILITIES, probabilities)
        yield text(
            catalogue.TRAINING_PROBABILITIES, {model: one.probabilities for model, one in self._trained_on.items()}
        )
        yield text(catalogue.PREDICTIONS, {model: by_group(cells.predicted) for model, cells in counted.items()})
        yield text(catalogue.JOINED, {model: by_group(cells.joined) for model, cells in counted.items()})
        yield text(catalogue.JOINED_RETRACTED, {model: by_group(cells.joined) for model, cells in retracted.items()})
        errors = (catalogue.SQUARED_ERROR, counted), (catalogue.SQUARED_ERROR_RETRACTED, retracted)
        for definition, cells_of in errors:
            yield text(definition, {model: [float(cells.squared_error.sum())] for model, cells in cells_of.items()})


def text(definition: Definition, values: Values) -> str:
    return family_text(
        definition, (line for model, own in values.items() for line in series_lines(definition, model, own))
    )


def by_group(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Counts by (race, sex, ethnicity, …) as counts by each value of each of the three, one column after another."""
    return np.concatenate([counts.sum(axis=tuple({0, 1, 2} - {axis})).ravel() for axis in range(3)])
