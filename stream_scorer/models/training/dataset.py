"""Labelled observations from a CSV file.

Invariant: what breaks the contract is left out and counted, never mended and never passed over in silence.
"""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream_scorer.core.contract.columns import COLUMN_NAMES, COLUMNS, Column
from stream_scorer.errors import ModelError
from stream_scorer.models.dataframes import Codes, codes_from

if TYPE_CHECKING:
    import pandas as pd

LABEL = "ContrabandIndicator"

TRUE_TEXTS, FALSE_TEXTS = ("True", "true", "TRUE", "1", "1.0"), ("False", "false", "FALSE", "0", "0.0")
NOT_ALLOWED = -1


class CleaningReport(msgspec.Struct, frozen=True):
    """What became of a file's rows. `invalid_by_column` counts each column that is at fault, so it may add up to more
    than `invalid`."""

    read: int
    duplicates: int
    invalid: int
    invalid_by_column: dict[str, int]
    unlabelled: int
    kept: int


class LabelledRows(NamedTuple):
    """Labelled observations; arrays of shape (n,). `times`: in order of time, None when no time column was named."""

    codes: Codes
    classes: NDArray[np.bool_]
    times: NDArray[np.int64] | None
    cleaning: CleaningReport


def read_rows(path: Path, time_column: str | None = None) -> LabelledRows:
    """The file's distinct, valid, labelled rows. Raises ModelError for a file that can't be read or lacks columns."""
    texts = read_texts(path)
    needed = [*COLUMN_NAMES, LABEL, *([time_column] if time_column else [])]
    missing = [name for name in needed if name not in texts.columns]
    if missing:
        there = ", ".join(map(str, texts.columns[:20]))
        absent = ", ".join(missing)
        raise ModelError(
            f"{path} lacks the columns {absent}: give a CSV file whose first line names them (there: {there})"
        )
    repeated = texts.duplicated().to_numpy()
    texts = texts[~repeated]
    indices = np.stack([indices_of(texts[column.name], column) for column in COLUMNS])
    labels = texts[LABEL].map(label_of).fillna(NOT_ALLOWED).to_numpy(dtype=np.int64)
    unlabelled = texts[LABEL].to_numpy() == ""
    faults = {column.name: index == NOT_ALLOWED for column, index in zip(COLUMNS, indices, strict=True)}
    faults[LABEL] = (labels == NOT_ALLOWED) & ~unlabelled
    times = None
    if time_column:
        times = times_of(texts[time_column])
        faults[time_column] = times == np.iinfo(np.int64).min
    invalid = np.any(list(faults.values()), axis=0)
    kept = ~invalid & ~unlabelled
    cleaning = CleaningReport(
        read=len(repeated),
        duplicates=int(repeated.sum()),
        invalid=int(invalid.sum()),
        invalid_by_column={name: int(fault.sum()) for name, fault in faults.items() if fault.any()},
        unlabelled=int((unlabelled & ~invalid).sum()),
        kept=int(kept.sum()),
    )
    return LabelledRows(
        codes_from(indices[:, kept]), labels[kept] == 1, None if times is None else times[kept], cleaning
    )


def read_texts(path: Path) -> "pd.DataFrame":
    """The file as text, cell by cell."""
    import pandas as pd

    try:
        return pd.read_csv(path, dtype=str, keep_default_na=False, na_filter=False, encoding="utf-8-sig").fillna("")
    except FileNotFoundError as error:
        raise ModelError(f"{path} does not exist: give the path of a CSV file") from error
    except pd.errors.EmptyDataError as error:
        raise ModelError(f"{path} is empty: give a CSV file whose first line names the columns") from error
    except (pd.errors.ParserError, UnicodeDecodeError, OSError) as error:
        raise ModelError(f"{path} can't be read as CSV in UTF-8 ({error}): mend the file or export it again") from error


def indices_of(texts: "pd.Series[str]", column: Column) -> NDArray[np.intp]:
    """For each cell the place of its value in the column's domain, -1 when it is not allowed."""
    places: dict[str, int] = {}
    for place, value in enumerate(column.domain):
        if isinstance(value, bool):
            places |= dict.fromkeys(TRUE_TEXTS if value else FALSE_TEXTS, place)
        elif isinstance(value, int):
            places |= {
                f"{value}": place,
                f"{value}.0": place,
            }  # an empty cell elsewhere turns a column of whole numbers into 35.0
        else:
            places[value] = place
    return np.asarray(texts.map(places).fillna(NOT_ALLOWED), dtype=np.intp)


label_of = {**dict.fromkeys(TRUE_TEXTS, 1), **dict.fromkeys(FALSE_TEXTS, 0)}


def times_of(texts: "pd.Series[str]") -> NDArray[np.int64]:
    """Times as numbers in their order; the smallest number where a cell is no time in ISO 8601."""
    import pandas as pd

    times = pd.to_datetime(texts, format="ISO8601", errors="coerce", utc=True)
    return times.to_numpy(dtype="datetime64[ns]").astype(np.int64)
