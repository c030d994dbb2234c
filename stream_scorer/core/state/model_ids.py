"""Which number stands for which model in a lane's entries."""

from collections.abc import Sequence

import msgspec


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
            if number > 0xFFFF:
                raise OverflowError("a lane has seen 65,536 models; drop its state so that it is made again")
            self._pairs.append((name, role))
        return number

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
