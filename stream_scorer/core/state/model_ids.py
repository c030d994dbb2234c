"""Which number stands for which model in a lane's entries."""

from collections.abc import Sequence
from typing import Final

import msgspec

NUMBERS: Final = 1 << 16
# The rest is for the models that this worker serves itself: records that name others can't use them up
OF_RECORDS_MAX: Final = 60_000


class ModelIds:
    """The lane's table of models: (name, role) to a number of two bytes and back. It only grows."""

    def __init__(self, pairs: Sequence[tuple[str, str]] = ()) -> None:
        self._pairs = [(name, role) for name, role in pairs]
        self._numbers = {pair: number for number, pair in enumerate(self._pairs)}

    def number(self, name: str, role: str) -> int:
        """The number of this model in this role, a new one at first sight."""
        number = self._numbers.get((name, role))
        if number is None:
            number = self._numbers[name, role] = len(self._pairs)
            if number >= NUMBERS:
                raise OverflowError(
                    "a lane has seen 65,536 models; delete its state (`stream-scorer state reset`), so that it is "
                    "restored"
                )
            self._pairs.append((name, role))
        return number

    def has_room_for(self, name: str, role: str) -> bool:
        """Whether a record may name this model: it has a number, or gets one from those that are for records. To be
        asked before `number`, which then gives it."""
        if (name, role) not in self._numbers:
            if len(self._pairs) >= OF_RECORDS_MAX:
                return False
            self.number(name, role)
        return True

    def __getitem__(self, number: int) -> tuple[str, str]:
        return self._pairs[number]

    def __len__(self) -> int:
        return len(self._pairs)

    def encode(self) -> bytes:
        """The table as bytes, for the store; keep it whenever `len()` has grown, with the entries that use it."""
        return msgspec.msgpack.encode(self._pairs)

    @classmethod
    def decode(cls, encoded: bytes) -> "ModelIds":
        return cls(msgspec.msgpack.decode(encoded, type=list[tuple[str, str]]))
