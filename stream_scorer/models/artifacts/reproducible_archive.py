"""skops archives made the same for the same pipeline.

Invariant: only names and times change, never a value; arrays keep their bytes, also those that mean nothing (in the
nodes of trees).

skops names an object after where it lay in memory, and a file in its archive after the object and the hour. Two
trainings on the same rows would give two digests, and two workers would seem to serve different models.
"""

import re
from io import BytesIO
from typing import Final
from zipfile import ZipFile, ZipInfo

SCHEMA: Final = "schema.json"
# the first moment that a zip archive can name
LONG_AGO: Final = (1980, 1, 1, 0, 0, 0)
# where skops writes addresses: as an object's id, and as the first part of a file's name
_ADDRESS: Final = re.compile(r'("__id__": |"file": ")(\d+)')


def make_reproducible(archive: bytes) -> bytes:
    """The archive with its objects numbered in the order in which they are named, its files in order and without a
    time."""
    with ZipFile(BytesIO(archive)) as before:
        schema = before.read(SCHEMA).decode()
        numbers: dict[str, str] = {}
        for found in _ADDRESS.finditer(schema):
            numbers.setdefault(found[2], str(len(numbers)))
        files = {_renamed(name, numbers): before.read(name) for name in before.namelist() if name != SCHEMA} | {
            SCHEMA: _ADDRESS.sub(lambda found: found[1] + numbers[found[2]], schema).encode()
        }
    after = BytesIO()
    with ZipFile(after, "w") as archived:
        for name in sorted(files):
            archived.writestr(ZipInfo(name, LONG_AGO), files[name])
    return after.getvalue()


def _renamed(name: str, numbers: dict[str, str]) -> str:
    address, dot, kind = name.partition(".")
    return numbers.get(address, address) + dot + kind
