"""What a model directory's card must say for the model to be served.

Invariant: everything else on a card is for people and for drift.
"""

from importlib.metadata import version
from typing import Annotated, Any

import msgspec

import stream_scorer
from stream_scorer.core.contract.columns import COLUMN_NAMES
from stream_scorer.errors import ModelError

FORMAT = 1

Class = bool | int | str


class ServingCard(msgspec.Struct, frozen=True):
    """The part of a card that serving stands on. `columns`: in the order in which the pipeline wants them; `classes`:
    in the order of the pipeline's probabilities; `tables_sha256`: of its look-up tables where it was saved, if it has
    any."""

    format: int
    name: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")]
    columns: list[str]
    classes: Annotated[list[Class], msgspec.Meta(min_length=2, max_length=2)]
    positive_class: Class
    threshold: Annotated[float, msgspec.Meta(ge=0, le=1)]
    versions: dict[str, str]
    tables_sha256: Annotated[str, msgspec.Meta(pattern=r"^([0-9a-f]{64})?\Z")] = ""

    @property
    def positive(self) -> int:
        """The positive class's column of probabilities."""
        return self.classes.index(self.positive_class)


def library_versions() -> dict[str, str]:
    """The libraries whose versions may change what a pipeline says, and ours."""
    libraries = ("scikit-learn", "numpy", "scipy", "pandas", "skops")
    return {**{name: version(name) for name in libraries}, "stream-scorer": stream_scorer.__version__}


def serving_card(card: dict[str, Any], where: str) -> ServingCard:
    """The card's head. Raises ModelError when the card is not one that can be served."""
    try:
        head = msgspec.convert(card, ServingCard)
    except msgspec.ValidationError as error:
        raise ModelError(f"{where} is not a model card ({error}): save the model again") from error
    if head.format != FORMAT:
        raise ModelError(
            f"{where} has format {head.format}, this version reads {FORMAT}: save the model again with this version"
        )
    if not head.columns or len(set(head.columns)) < len(head.columns) or not set(head.columns) <= set(COLUMN_NAMES):
        raise ModelError(
            f"{where} names columns that are not the contract's ({', '.join(head.columns)}): "
            "train on those ten or some of them"
        )
    if len(set(head.classes)) < len(head.classes):
        raise ModelError(f"{where} names one class twice ({head.classes}): save the model again")
    if head.positive_class not in head.classes:
        raise ModelError(
            f"{where} says that {head.positive_class!r} is the positive class, but the classes are {head.classes}: "
            "save the model again"
        )
    return head
