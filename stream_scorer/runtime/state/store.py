"""One lane's state on disk: an entry for each id, and up to where in the output topics it has been brought.

Invariant: entries and positions live and die together, and nothing is here that the topics don't say. So there is no
write-ahead log and no sync: what was in memory when a process died is read from the topics again, from the positions
that died with it. A store that is damaged, of another layout or of another cluster is dropped and made again from the
topics.

Rows: an id and its entry; and, under keys longer than any id, the lane's positions, its table of models, and an index
of the outcomes that wait, by event time.
"""

import contextlib
import itertools
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NoReturn

from stream_scorer.core.contract.columns import ID_BYTES_MAX
from stream_scorer.core.records.clock import WindowClock
from stream_scorer.core.records.decode import UNREADABLE
from stream_scorer.core.state.entry import ENTRY_VERSION, ROW_BYTES, is_expired, waiting_since_ms
from stream_scorer.core.state.model_ids import ModelIds
from stream_scorer.errors import StateError
from stream_scorer.private_files import private_folder, write_private
from stream_scorer.runtime.kafka.descriptors import no_descriptors_left, out_of_descriptors
from stream_scorer.runtime.state.rocksdb import (
    Memory,
    is_damage,
    is_disk_error,
    new_batch,
    open_rows,
    scan_options,
)
from stream_scorer.runtime.state.state_directory import NOTE, DirectoryLock, bytes_on_disk

log = logging.getLogger(__name__)

# Goes up with every change of what this module writes; an entry has its own number.
LAYOUT_VERSION: Final = 1
# A store is looked through for forgotten entries this often, so that none stays much longer than a window.
SWEEPS_A_WINDOW: Final = 8

# An id has at most this many bytes, so no key that begins like this is one; such keys come after all ids.
_OURS: Final = b"\xff" * (ID_BYTES_MAX + 1)
_LANE: Final = _OURS + b"lane:"
_POSITION: Final = _LANE + b"position:"
_MODELS: Final = _LANE + b"models"
_WAITING: Final = _OURS + b"waiting:"


class LaneStore:
    """The state of one lane. Not for two threads at once; every call is quick, only `close` waits for the disk."""

    def __init__(self, claim: DirectoryLock, identity: str, memory: Memory) -> None:
        """Open the store in a folder that is ours, or begin a new one there; it has the claim from now on.

        `identity`: what the store is a view of (cluster and topics); a store of another one is dropped. Raises
        `StateError` where the disk refuses."""
        self._claim, self._memory = claim, memory
        self._note = {"layout": LAYOUT_VERSION, "entries": ENTRY_VERSION, "identity": identity}
        self._rows: Any = None
        # The lane's table of models: learns what is new, and is kept by the next `write`.
        self.models = ModelIds()
        self._models_kept = 0
        self._positions: dict[str, int] = {}
        self._waiting_from, self._swept_to = _WAITING, b""
        self._next_sweep_ms = 0
        try:
            self._open()
        except BaseException as error:
            self.close()
            if out_of_descriptors(error):
                raise no_descriptors_left() from error
            if isinstance(error, OSError) or type(error) is Exception:  # RocksDB's own are plain
                raise StateError(
                    f"The state in {claim.folder} can't be opened ({error}): make the folder writable and free some "
                    "space, or set worker.state_folder to another one."
                ) from error
            raise

    # One look-up and one write for a batch

    def get_many(self, ids: Sequence[bytes]) -> list[bytes | None]:
        """The packed entry of each id, None where there is none."""
        try:
            found: list[bytes | None] = self._rows.get(list(ids))
        except Exception as error:
            self._fail(error)
        return found

    def write(
        self,
        entries: Iterable[tuple[bytes, bytes | None]],
        positions: Mapping[str, int],
        *,
        answered: Iterable[tuple[int, bytes]] = (),
    ) -> None:
        """Keep entries (None: delete) together with the positions that they were read or published up to (by topic, the
        next offset to read): all or nothing. `answered`: what `waiting_before` gave and has been dealt with."""
        batch = new_batch()
        put, delete = batch.put, batch.delete
        for since_ms, id_ in answered:
            delete(_waiting_key(since_ms, id_))
        for id_, packed in entries:
            if packed is None:
                delete(id_)
                continue
            put(id_, packed)
            if len(packed) > ROW_BYTES:
                self._file_waiting(batch, id_, packed)
        for topic, offset in positions.items():
            put(_POSITION + topic.encode(), offset.to_bytes(8, "big"))
        if len(self.models) > self._models_kept:
            put(_MODELS, self.models.encode())
        try:
            self._rows.write(batch)
        except Exception as error:
            self._fail(error)
        self._models_kept = len(self.models)
        self._positions.update(positions)

    def _file_waiting(self, batch: Any, id_: bytes, packed: bytes) -> None:
        since_ms = waiting_since_ms(packed)
        if since_ms is not None:
            key = _waiting_key(since_ms, id_)
            batch.put(key, b"")
            self._waiting_from = min(self._waiting_from, key)

    def positions(self) -> dict[str, int]:
        """By topic, the offset up to which the store has been brought (the next one to read)."""
        return dict(self._positions)

    # What ends with time

    def waiting_before(self, window_starts_ms: int, ids_max: int) -> list[tuple[int, bytes]]:
        """Ids under which an outcome was filed that had happened before that time, oldest first, each with its time.
        Some have been joined since: their entries say so. Give all back to `write` as `answered`."""
        found: list[tuple[int, bytes]] = []
        try:
            for key in self._rows.keys(from_key=self._waiting_from):
                since_ms = int.from_bytes(key[len(_WAITING) : len(_WAITING) + 8], "big")
                if since_ms >= window_starts_ms or len(found) == ids_max:
                    if not found:
                        self._waiting_from = key
                    break
                found.append((since_ms, key[len(_WAITING) + 8 :]))
        except Exception as error:
            self._fail(error)
        if found:
            # what is deleted at the front of the index is not to be passed over again by every later call
            self._waiting_from = _waiting_key(*found[0])
        return found

    def sweep(self, clock: WindowClock, ids_max: int) -> int:
        """Look at the next entries, at most so many, delete those that are forgotten, and say how many. Does nothing
        when all were looked at not long ago."""
        if clock.now_ms < self._next_sweep_ms:
            return 0
        window_starts_ms = clock.window_starts_ms
        seen, forgotten, go_on_at = 0, [], b""
        try:
            for id_, packed in self._rows.items(from_key=self._swept_to, read_opt=scan_options()):
                if id_.startswith(_OURS):
                    break
                if seen == ids_max:
                    go_on_at = id_
                    break
                seen += 1
                if is_expired(packed, window_starts_ms):
                    forgotten.append(id_)
        except Exception as error:
            self._fail(error)
        self._swept_to = go_on_at
        if not go_on_at:
            self._next_sweep_ms = clock.now_ms + clock.join_window_ms // SWEEPS_A_WINDOW
        if forgotten:
            self.write([(id_, None) for id_ in forgotten], {})
        return len(forgotten)

    # Its size, its beginning and its end

    def ids_estimate(self) -> int:
        """About how many ids there are; one that was written again of late may count twice."""
        return self._rows.property_int_value("rocksdb.estimate-num-keys") or 0

    def bytes_on_disk(self) -> int:
        """Bytes of all its files."""
        return bytes_on_disk(self._claim.folder)

    def start_over(self, why: str) -> None:
        """Drop everything, for the reason given, and go on with an empty store."""
        folder = self._claim.folder
        if why:
            log.warning("dropping the state in %s: %s; it is restored from the topics", folder, why)
        with contextlib.suppress(Exception):  # what is dropped need not be written out
            self._shut()
        self._claim.empty()
        private_folder(folder)
        write_private(folder / NOTE, json.dumps(self._note).encode())
        self._begin()

    def close(self) -> None:
        """Write out what is in memory and let others have the folder. Safe to call twice."""
        try:
            self._shut()
        except Exception as error:
            self._fail(error)
        finally:
            self._claim.release()

    def _shut(self) -> None:
        rows, self._rows = self._rows, None
        if rows is not None:
            rows.close()

    def _open(self) -> None:
        why = self._misfit()
        if why is None:
            try:
                self._begin()
            except Exception as error:
                if is_disk_error(error):
                    raise
                why = f"it is damaged ({error})"
        if why is not None:
            self.start_over(why)

    def _misfit(self) -> str | None:
        """Why what lies in the folder can't be used; empty where nothing lies there, None where it can."""
        folder = self._claim.folder
        try:
            found = json.loads((folder / NOTE).read_bytes())
        except FileNotFoundError:
            return "it was incomplete" if folder.is_dir() and any(folder.iterdir()) else ""
        except UNREADABLE:
            return "it does not say which topics it is a view of"
        if found == self._note:
            return None
        if not isinstance(found, dict) or found.get("identity") != self._note["identity"]:
            return "it belongs to another cluster or to other topics"
        return "another version of this program wrote it"

    def _begin(self) -> None:
        self._rows = open_rows(self._claim.folder, self._memory)
        kept = dict(itertools.takewhile(lambda row: row[0].startswith(_LANE), self._rows.items(from_key=_LANE)))
        self.models = ModelIds.decode(kept.pop(_MODELS)) if _MODELS in kept else ModelIds()
        self._models_kept = len(self.models)
        self._positions = {
            key.removeprefix(_POSITION).decode(): int.from_bytes(offset, "big") for key, offset in kept.items()
        }
        self._waiting_from, self._swept_to = _WAITING, b""
        self._next_sweep_ms = 0

    def _fail(self, error: Exception) -> NoReturn:
        """Say what a fault of RocksDB's means. A damaged store is dropped when it is opened next."""
        folder = self._claim.folder
        if out_of_descriptors(error):
            raise no_descriptors_left() from error
        if is_disk_error(error):
            raise StateError(f"The state in {folder} can't be read or written ({error}): free some space.") from error
        if is_damage(error):
            (folder / NOTE).unlink(missing_ok=True)
            raise StateError(
                f"The state in {folder} is damaged ({error}): start the worker again, and it restores the state "
                "from the topics."
            ) from error
        raise error


def _waiting_key(since_ms: int, id_: bytes) -> bytes:
    return _WAITING + since_ms.to_bytes(8, "big") + id_
