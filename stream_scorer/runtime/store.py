"""One lane's state on disk: an entry for each id, and up to where in the output topics it has been brought.

Law: entries and positions live and die together, and nothing is here that the topics don't say. So there is no
write-ahead log and no sync: what was in memory when a process died is read from the topics again, from the positions
that died with it. A store that is damaged, of another layout or of another cluster is dropped and made again from the
topics.
"""

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NoReturn

from rocksdict import Cache

from stream_scorer.core.answering import Clock
from stream_scorer.core.entries import ENTRY_VERSION, ROW_BYTES, Models, is_forgotten, waiting_since_ms
from stream_scorer.errors import StateError
from stream_scorer.runtime.store_engine import Engine, is_damage, is_the_machines_fault
from stream_scorer.runtime.store_folders import NOTE, Claim, bytes_on_disk

log = logging.getLogger(__name__)

# Goes up with every change of what this module writes; an entry has its own number.
LAYOUT_VERSION: Final = 1
# A store is looked through for forgotten entries this often, so that none stays much longer than a window.
SWEEPS_A_WINDOW: Final = 8

_POSITION: Final = b"position:"
_MODELS: Final = b"models"


class LaneStore:
    """The state of one lane. Not for two threads at once; every call is quick, only `close` waits for the disk."""

    def __init__(self, claim: Claim, identity: str, cache: Cache) -> None:
        """Open the store in a folder that is ours, or begin a new one there; it has the claim from now on.

        `identity`: what the store is a view of (cluster and topics); a store of another one is dropped. Raises
        `StateError` where the disk refuses."""
        self._claim, self._cache = claim, cache
        self._note = {"layout": LAYOUT_VERSION, "entries": ENTRY_VERSION, "identity": identity}
        try:
            self._engine = self._open()
            self._begin()
        except BaseException as error:
            claim.release()
            if isinstance(error, OSError) or type(error) is Exception:  # RocksDB's own are plain
                raise StateError(
                    f"The state in {claim.folder} can't be opened ({error}): make the folder writable and free some "
                    "space, or set worker.state_folder to another one."
                ) from error
            raise

    def _begin(self) -> None:
        kept: dict[bytes, bytes] = dict(self._engine.lane.items())
        # The lane's table of models: learns what is new, and is kept by the next `write`.
        self.models = Models.decode(kept.pop(_MODELS)) if _MODELS in kept else Models()
        self._models_kept = len(self.models)
        self._positions = {
            key.removeprefix(_POSITION).decode(): int.from_bytes(offset, "big") for key, offset in kept.items()
        }
        self._waiting_from = self._swept_to = b""
        self._next_sweep_ms = 0

    # One look-up and one write for a batch

    def get_many(self, ids: Sequence[bytes]) -> list[bytes | None]:
        """The packed entry of each id, None where there is none."""
        try:
            found: list[bytes | None] = self._engine.entries.get(list(ids))
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
        engine = self._engine
        batch = engine.batch()
        put, delete = batch.put, batch.delete
        for since_ms, id_ in answered:
            delete(_waiting_key(since_ms, id_), engine.waiting_family)
        for id_, packed in entries:
            if packed is None:
                delete(id_)
                continue
            put(id_, packed)
            if len(packed) > ROW_BYTES:
                self._file_waiting(batch, id_, packed)
        for topic, offset in positions.items():
            put(_POSITION + topic.encode(), offset.to_bytes(8, "big"), engine.lane_family)
        if len(self.models) > self._models_kept:
            put(_MODELS, self.models.encode(), engine.lane_family)
        try:
            engine.entries.write(batch)
        except Exception as error:
            self._fail(error)
        self._models_kept = len(self.models)
        self._positions.update(positions)

    def _file_waiting(self, batch: Any, id_: bytes, packed: bytes) -> None:
        since_ms = waiting_since_ms(packed)
        if since_ms is not None:
            key = _waiting_key(since_ms, id_)
            batch.put(key, b"", self._engine.waiting_family)
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
            for key in self._engine.waiting.keys(from_key=self._waiting_from):
                since_ms = int.from_bytes(key[:8], "big")
                if since_ms >= window_starts_ms or len(found) == ids_max:
                    if not found:
                        self._waiting_from = key
                    break
                found.append((since_ms, key[8:]))
        except Exception as error:
            self._fail(error)
        if found:
            # what is deleted at the front of the index is not to be passed over again by every later call
            self._waiting_from = _waiting_key(*found[0])
        return found

    def sweep(self, clock: Clock, ids_max: int) -> int:
        """Look at the next entries, at most so many, delete those that are forgotten, and say how many. Does nothing
        when all were looked at not long ago."""
        if clock.now_ms < self._next_sweep_ms:
            return 0
        window_starts_ms = clock.window_starts_ms
        seen, forgotten = 0, []
        try:
            for id_, packed in self._engine.entries.items(from_key=self._swept_to, read_opt=self._engine.passing):
                if seen == ids_max:
                    self._swept_to = id_
                    break
                seen += 1
                if is_forgotten(packed, window_starts_ms):
                    forgotten.append(id_)
            else:
                self._swept_to = b""
                self._next_sweep_ms = clock.now_ms + clock.join_window_ms // SWEEPS_A_WINDOW
        except Exception as error:
            self._fail(error)
        if forgotten:
            self.write([(id_, None) for id_ in forgotten], {})
        return len(forgotten)

    # Its size and its end

    def ids_estimate(self) -> int:
        """About how many ids there are."""
        return self._engine.entries.property_int_value("rocksdb.estimate-num-keys") or 0

    def bytes_on_disk(self) -> int:
        """Bytes of all its files."""
        return bytes_on_disk(self._claim.folder)

    def start_over(self, why: str) -> None:
        """Drop everything, for the reason given, and go on with an empty store."""
        self._engine.close()
        self._engine = self._drop(why)
        self._begin()

    def close(self) -> None:
        """Write out what is in memory and let others have the folder. Safe to call twice."""
        try:
            self._engine.close()
        finally:
            self._claim.release()

    def _open(self) -> Engine:
        why = self._misfit()
        if why is not None:
            return self._drop(why)
        try:
            return Engine(self._claim.folder, self._cache)
        except Exception as error:
            if is_the_machines_fault(error):
                raise
            return self._drop(f"it is damaged ({error})")

    def _misfit(self) -> str | None:
        """Why what lies in the folder can't be used; empty where nothing lies there, None where it can."""
        folder = self._claim.folder
        try:
            found = json.loads((folder / NOTE).read_bytes())
        except FileNotFoundError:
            return "it was not whole" if folder.is_dir() and any(folder.iterdir()) else ""
        except ValueError:
            return "it does not say what it is a view of"
        if found == self._note:
            return None
        if not isinstance(found, dict) or found.get("identity") != self._note["identity"]:
            return "it belongs to another cluster or to other topics"
        return "another version of this program wrote it"

    def _drop(self, why: str) -> Engine:
        folder = self._claim.folder
        if why:
            log.warning("the state in %s is dropped: %s; it is made again from the topics", folder, why)
        self._claim.empty()
        folder.mkdir(parents=True, exist_ok=True)
        (folder / NOTE).write_text(json.dumps(self._note))
        return Engine(folder, self._cache)

    def _fail(self, error: Exception) -> NoReturn:
        """Say what a fault of RocksDB's means. A damaged store is dropped when it is opened next."""
        folder = self._claim.folder
        if is_the_machines_fault(error):
            raise StateError(f"The state in {folder} can't be read or written ({error}): free some space.") from error
        if is_damage(error):
            (folder / NOTE).unlink(missing_ok=True)
            raise StateError(
                f"The state in {folder} is damaged ({error}): start the worker again, it makes it anew from the topics."
            ) from error
        raise error


def _waiting_key(since_ms: int, id_: bytes) -> bytes:
    return since_ms.to_bytes(8, "big") + id_
