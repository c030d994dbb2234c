"""A fix as the fields of a form.

Invariant: the fields of the form are the options of the command, word for word.
"""

from typing import Final

from multidict import MultiMapping

from stream_scorer.core.contract.columns import COLUMN_NAMES
from stream_scorer.core.dead_letters.named_fixes import NamedFix
from stream_scorer.core.dead_letters.repair import Fix, FixError, parse_fix
from stream_scorer.errors import SettingsError

SETS_MAX: Final = 3
ABOUT: Final = {
    NamedFix.TRIM_SPACES: ("Trim spaces", "“Stop Sign ” becomes “Stop Sign”"),
    NamedFix.MATCH_CASE: ("Match case", "“Stop sign” becomes “Stop Sign”"),
    NamedFix.INTEGERS_FROM_TEXT: ("Integers from text", "“20” becomes 20"),
    NamedFix.INTEGERS_FROM_FLOATS: ("Integers from floats", "20.0 becomes 20"),
    NamedFix.DROP_UNRECOGNIZED: ("Drop unrecognized columns", "removes columns that the contract does not define"),
}
COLUMNS: Final = COLUMN_NAMES


class FixFields:
    """What was filled in of the form of a fix."""

    def __init__(self, given: MultiMapping[str] | None = None) -> None:
        named = given.getall("fix", []) if given is not None else []
        self.named = [name for name in NamedFix if name in named]
        columns = given.getall("set_column", []) if given is not None else []
        values = given.getall("set_value", []) if given is not None else []
        rows = [(column, value) for column, value in zip(columns, values, strict=False) if column][:SETS_MAX]
        self.sets = rows + [("", "")] * (SETS_MAX - len(rows))
        self.patch = str(given.get("patch", "")) if given is not None else ""

    @property
    def is_empty(self) -> bool:
        return not (self.named or self.patch.strip() or any(column for column, _ in self.sets))

    def fix(self) -> Fix:
        """The fix that they say. Raises SettingsError for what is none."""
        made = parse_fix(
            self.patch.strip() or None, self.named, [f"{column}={value}" for column, value in self.sets if column]
        )
        if isinstance(made, FixError):
            raise SettingsError(made.why)
        return made

    def pairs(self) -> list[tuple[str, str]]:
        """The same as fields of a form that says it again."""
        pairs = [("fix", name.value) for name in self.named]
        for column, value in self.sets:
            if column:
                pairs += [("set_column", column), ("set_value", value)]
        return [*pairs, ("patch", self.patch)] if self.patch.strip() else pairs

    def in_words(self) -> str:
        words = [ABOUT[name][0].lower() for name in self.named]
        words += [f"set {column} = {value}" for column, value in self.sets if column]
        words += ["a JSON Patch"] if self.patch.strip() else []
        return ", ".join(words) or "unchanged"
