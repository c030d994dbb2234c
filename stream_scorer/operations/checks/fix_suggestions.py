"""Which of the named fixes would make a broken event valid."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from stream_scorer.core.dead_letters.named_fixes import NamedFix
from stream_scorer.core.dead_letters.repair import Fix, apply_fix

# A try costs more than the check itself: beyond so many broken events the picture does not change any more
LOOKED_AT_MAX = 10_000


class FixFinder:
    """Tries fixes on broken events, the first `LOOKED_AT_MAX` of them. `rejected` gives the positions of the events
    that break the contract, each with its reasons."""

    def __init__(self, rejected: Callable[[Sequence[bytes]], Sequence[tuple[int, Any]]]) -> None:
        self._rejected, self._left = rejected, LOOKED_AT_MAX

    def fixes_for(self, broken: Mapping[int, bytes]) -> dict[int, tuple[NamedFix, ...]]:
        """For each event that fixes would make valid, by its key, the fewest that do: one of them, else several."""
        keys = list(broken)[: self._left]
        self._left -= len(keys)
        found: dict[int, tuple[NamedFix, ...]] = {}
        for fix in NamedFix:
            self._note(broken, [key for key in keys if key not in found], (fix,), found)
        everything = tuple(NamedFix)
        together: dict[int, tuple[NamedFix, ...]] = {}
        self._note(broken, [key for key in keys if key not in found], everything, together)
        for key in together:
            found[key] = self._fewest(broken[key], everything)
        return {key: found[key] for key in keys if key in found}

    def _note(
        self,
        broken: Mapping[int, bytes],
        keys: Sequence[int],
        fixes: tuple[NamedFix, ...],
        found: dict[int, tuple[NamedFix, ...]],
    ) -> None:
        found.update((key, fixes) for key in self._mended(broken, keys, fixes))

    def _mended(self, broken: Mapping[int, bytes], keys: Sequence[int], fixes: tuple[NamedFix, ...]) -> list[int]:
        changed = []
        for key in keys:
            after = apply_fix(broken[key], Fix(named=fixes))
            if isinstance(after, bytes) and after != broken[key]:
                changed.append((key, after))
        if not changed:
            return []
        still_broken = {at for at, _ in self._rejected([after for _, after in changed])}
        return [key for at, (key, _) in enumerate(changed) if at not in still_broken]

    def _fewest(self, value: bytes, fixes: tuple[NamedFix, ...]) -> tuple[NamedFix, ...]:
        for fix in fixes:
            fewer = tuple(other for other in fixes if other is not fix)
            if self._mended({0: value}, [0], fewer):
                return self._fewest(value, fewer)
        return fixes
