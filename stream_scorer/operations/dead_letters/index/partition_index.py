"""Rows on disk: what an index has read of one partition, and up to where.

Invariant: rows and position become visible together, by one rename; whoever reads sees a whole state, and only whoever
holds the shelf's lock writes. What lies here can be made again from the topic at any time.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from stream_scorer.core.records.decode import UNREADABLE
from stream_scorer.errors import StateError
from stream_scorer.operations.dead_letters.index.dictionaries import Dictionaries, Fault
from stream_scorer.operations.dead_letters.index.rows import Rows
from stream_scorer.private_files import private_folder

# Goes up with every change of the rows or of these files
LAYOUT: Final = 1
# Rows that retention has deleted in the topic are dropped here once they are so many, and most of the file
DEAD_ROWS_MIN: Final = 100_000

_decode_faults: Final = msgspec.json.Decoder(tuple[tuple[str, str | None], ...]).decode
_encode: Final = msgspec.json.Encoder().encode


class IndexManifest(msgspec.Struct, frozen=True):
    """What of the shelf's files counts. `identity`: what they are a view of; `position`: the next offset to read."""

    layout: int = LAYOUT
    identity: str = ""
    generation: int = 0
    rows: int = 0
    position: int = 0
    faults_bytes: int = 0
    producers_bytes: int = 0


class IndexSnapshot(NamedTuple):
    """A shelf as it was at one moment: rows in the order of their offsets, not in memory but mapped from the file."""

    note: IndexManifest
    rows: Rows
    tables: Dictionaries


_decode_note: Final = msgspec.json.Decoder(IndexManifest).decode


class PartitionIndex:
    """The rows of one partition. Several processes may share it."""

    def __init__(self, folder: Path, name: str, dtype: np.dtype[Any], identity: str) -> None:
        self.folder, self._name, self._dtype, self._identity = folder, name, dtype, identity
        self._seen: IndexSnapshot | None = None

    def look(self) -> IndexSnapshot:
        """What is there now; nothing where it is a view of something else."""
        note = self._note()
        if self._seen is None or self._seen.note != note:
            self._seen = IndexSnapshot(note, self._map(note), self._tables(note))
        return self._seen

    @property
    def position(self) -> int:
        """The next offset to read."""
        return self._note().position

    @contextlib.contextmanager
    def writing(self) -> Iterator["PartitionIndexWriter | None"]:
        """The right to write, for as long as the block lasts; None while somebody else has it. Raises StateError."""
        with _machine_faults_told(self.folder):
            private_folder(self.folder)
            lock = os.open(self.folder / f"{self._name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            yield self._writer(lock)
        finally:
            os.close(lock)

    def _writer(self, lock: int) -> "PartitionIndexWriter | None":
        with _machine_faults_told(self.folder):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return None
            note = self._note()
            # tables of its own: those of `look` are read by others while these grow
            return PartitionIndexWriter(self, note, self._tables(note))

    # Files

    def path(self, what: str, generation: int) -> Path:
        return self.folder / f"{self._name}.{generation}.{what}"

    def keep(self, note: IndexManifest) -> None:
        path = self.folder / f"{self._name}.json"
        new = path.with_suffix(".json.new")
        new.write_bytes(_encode(note))
        new.replace(path)

    def _note(self) -> IndexManifest:
        found = None
        while True:
            try:
                note = _decode_note((self.folder / f"{self._name}.json").read_bytes())
            except (FileNotFoundError, *UNREADABLE):
                return IndexManifest(identity=self._identity)
            if note.layout == LAYOUT and note.identity == self._identity and self._is_whole(note):
                return note
            if note == found:
                # the next generation, so that no file of the old one is written to
                return IndexManifest(identity=self._identity, generation=note.generation + 1)
            found = note  # its files may have been deleted by who wrote a newer note just now

    def _is_whole(self, note: IndexManifest) -> bool:
        wanted = {
            "rows": note.rows * self._dtype.itemsize,
            "faults": note.faults_bytes,
            "producers": note.producers_bytes,
        }
        try:
            return all(
                not size or self.path(what, note.generation).stat().st_size >= size for what, size in wanted.items()
            )
        except FileNotFoundError:
            return False

    def _map(self, note: IndexManifest) -> Rows:
        if not note.rows:
            return np.empty(0, dtype=self._dtype)
        return np.memmap(self.path("rows", note.generation), dtype=self._dtype, mode="r", shape=(note.rows,))

    def _tables(self, note: IndexManifest) -> Dictionaries:
        faults: list[tuple[Fault, ...]] = [
            _decode_faults(line) for line in self._lines("faults", note.faults_bytes, note)
        ]
        producers: list[str] = [
            msgspec.json.decode(line) for line in self._lines("producers", note.producers_bytes, note)
        ]
        return Dictionaries(faults, producers)

    def _lines(self, what: str, size: int, note: IndexManifest) -> list[bytes]:
        if not size:
            return []
        with self.path(what, note.generation).open("rb") as file:
            return file.read(size).splitlines()

    def delete_generations_but(self, generation: int) -> None:
        for path in self.folder.glob(f"{self._name}.*.*"):
            if path.name.split(".")[-2] != str(generation):
                path.unlink(missing_ok=True)


class PartitionIndexWriter:
    """Adds rows to a shelf. What was added counts from the next `keep` on."""

    def __init__(self, shelf: PartitionIndex, note: IndexManifest, tables: Dictionaries) -> None:
        self._shelf, self._note, self.tables = shelf, note, tables
        self._faults_kept, self._producers_kept = len(tables.faults), len(tables.producers)

    @property
    def position(self) -> int:
        return self._note.position

    def add(self, rows: Rows, position: int) -> None:
        """Rows behind those that are there, and the offset up to which they were read. Raises StateError."""
        with _machine_faults_told(self._shelf.folder):
            self._add(rows, position)

    def _add(self, rows: Rows, position: int) -> None:
        faults, producers = self.tables.faults.values, self.tables.producers.values
        note = self._note
        size = note.rows * rows.dtype.itemsize
        self._append("rows", size, rows.tobytes())
        new_faults = b"".join(_encode(fault) + b"\n" for fault in faults[self._faults_kept :])
        new_producers = b"".join(_encode(producer) + b"\n" for producer in producers[self._producers_kept :])
        self._append("faults", note.faults_bytes, new_faults)
        self._append("producers", note.producers_bytes, new_producers)
        self._faults_kept, self._producers_kept = len(faults), len(producers)
        self._note = msgspec.structs.replace(
            note,
            rows=note.rows + len(rows),
            position=position,
            faults_bytes=note.faults_bytes + len(new_faults),
            producers_bytes=note.producers_bytes + len(new_producers),
        )
        self._shelf.keep(self._note)

    def start_over(self) -> None:
        """Drop everything: the topic is another one than what was read."""
        self._note = IndexManifest(identity=self._note.identity, generation=self._note.generation + 1)
        self.tables = Dictionaries()
        self._faults_kept = self._producers_kept = 0
        self._shelf.keep(self._note)
        self._shelf.delete_generations_but(self._note.generation)

    def drop_before(self, offset: int, dead_rows_min: int = DEAD_ROWS_MIN) -> None:
        """Forget rows that the topic has deleted, where that is worth a new file."""
        seen = self._shelf.look()
        dead = int(np.searchsorted(seen.rows["offset"], offset))
        if dead < dead_rows_min or dead < len(seen.rows) // 2:
            return
        left, tables, position = np.array(seen.rows[dead:]), self.tables, self._note.position
        self._note = IndexManifest(identity=self._note.identity, generation=self._note.generation + 1)
        self._faults_kept = self._producers_kept = 0
        self.tables = tables
        self.add(left, position)
        self._shelf.delete_generations_but(self._note.generation)

    def _append(self, what: str, size: int, added: bytes) -> None:
        if not added:
            return
        file = os.open(self._shelf.path(what, self._note.generation), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            # what a process that died wrote behind the last note is written over
            rest = memoryview(added)
            while rest:
                written = os.pwrite(file, rest, size)
                size, rest = size + written, rest[written:]
        finally:
            os.close(file)


@contextlib.contextmanager
def _machine_faults_told(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StateError(
            f"The index of dead letters in {folder} can't be used ({error.strerror or error}): make the folder "
            "writable, free some space, or set worker.state_folder to another one."
        ) from error
