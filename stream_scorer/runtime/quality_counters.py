"""What is counted for each model: how well its predictions did, and how its probabilities lie beside those of its
training.

Law: a group is one value of one column, never a combination; what corrections take back has a counter of its own, so
that counters of many workers add up; how many models are told apart has a bound.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from stream_scorer.core.distributions import Codes, ProbabilityCounts
from stream_scorer.core.quality import GROUP_COLUMNS, Model, Quality
from stream_scorer.models.trained_on import TrainedOn
from stream_scorer.runtime import metric_catalogue as catalogue
from stream_scorer.runtime.figures import family_text, series_lines
from stream_scorer.runtime.metric_definitions import Definition


class QualityCounters:
    """Counts of predictions and joined outcomes by model, role and group; there from the start for every model that was
    announced."""

    def __init__(self) -> None:
        self._counted, self._retracted = Quality(), Quality()

    def announce(self, model: Model) -> None:
        """Let this model's counters stand at 0."""
        # made at first sight; the last seen stand last
        for quality in (self._counted, self._retracted):
            quality.models[model] = quality[model]

    def add(self, counted: Quality, retracted: Quality) -> None:
        """Add a committed batch's counts. Beyond the bound, the model that was not heard of for the longest time goes;
        a counter that ends does no harm to a rate."""
        for quality, more in ((self._counted, counted), (self._retracted, retracted)):
            if more:
                quality.add(more)
        models = self._counted.models
        for model in counted.models:
            self._retracted[model]
            models[model] = models.pop(model)
        for model in list(models)[: -catalogue.COUNTED_MODELS_MAX]:
            del models[model]
        for model in self._retracted.models.keys() - models.keys():
            del self._retracted.models[model]

    def texts(self) -> Iterator[str]:
        """Every metric of this kind, as text."""
        for definition, quality in ((catalogue.JOINED, self._counted), (catalogue.JOINED_RETRACTED, self._retracted)):
            yield self._text(definition, quality, lambda quality, model: by_group(quality[model].joined))
        errors = ((catalogue.SQUARED_ERROR, self._counted), (catalogue.SQUARED_ERROR_RETRACTED, self._retracted))
        for definition, quality in errors:
            yield self._text(definition, quality, lambda quality, model: [quality[model].squared_error.sum()])
        yield self._text(
            catalogue.PREDICTIONS, self._counted, lambda quality, model: by_group(quality[model].predicted)
        )
