"""Where the stores of lanes lie on disk, and who may touch them: one holder for each folder, however a process ends.

Invariant: only the holder of its lock opens, empties or deletes a folder, and a lock ends with its process.

A lane's store lies in `lane-<partition>`. Where that is held (by a worker that was stopped and has not let go yet,
say), the lane takes the next spare folder, `lane-<partition>.1` and so on, and reads its state from the topics: a lane
never waits for a process that may never wake.
"""

import fcntl
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from stream_scorer.errors import StateError
from stream_scorer.private_files import private_folder

# More processes that hold one lane's state on one machine are a fault worth telling.
FOLDERS_MAX: Final = 8
# Says what a store is a view of. Written before the store is made, deleted before it is: no note, no store.
NOTE: Final = "view-of.json"

_FOLDER_NAME: Final = re.compile(r"lane-(\d+)(?:\.\d+)?")


class DirectoryLock:
    """A folder that is ours until `release`."""

    def __init__(self, folder: Path, lock: int) -> None:
        self.folder = folder
        self._lock = lock

    def empty(self) -> None:
        """Delete what is in the folder. The note goes first: half a store is never taken for a whole one."""
        (self.folder / NOTE).unlink(missing_ok=True)
        if self.folder.exists():
            shutil.rmtree(self.folder)

    def delete(self) -> None:
        """Delete the folder and give it up."""
        self.empty()
        _lock_file(self.folder).unlink(missing_ok=True)
        self.release()

    def release(self) -> None:
        """Let others have the folder. Safe to call twice."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def claim_lane(state_path: Path, partition: int, *, spare: bool) -> DirectoryLock | None:
    """The lane's folder; where it is held and `spare` is true, the next free one; None where none is free.

    Further folders that nobody holds are deleted: what they say, the topics say too. Raises `StateError` where the disk
    refuses."""
    try:
        private_folder(state_path)
        for number in range(FOLDERS_MAX if spare else 1):
            claim = _claim(_folder(state_path, partition, number))
            if claim is not None:
                _delete_unheld(_folder(state_path, partition, above) for above in range(number + 1, FOLDERS_MAX))
                return claim
    except OSError as error:
        raise StateError(
            f"The state folder {state_path} can't be used ({error.strerror or error}): make it writable, free some "
            "space, or set worker.state_folder to another one."
        ) from error
    return None


def delete_stores(state_path: Path, partition: int | None = None) -> list[Path]:
    """Delete the stores of one lane or of all, and say which. Raises `StateError`, and deletes none, where a worker
    holds one of them."""
    claims: list[DirectoryLock] = []
    try:
        for folder in find_stores(state_path, partition):
            claim = _claim(folder)
            if claim is None:
                raise StateError(
                    f"A running worker holds the state in {folder}: stop that worker first. Nothing was deleted."
                )
            claims.append(claim)
        for claim in claims:
            claim.delete()
    except OSError as error:
        raise StateError(f"The state in {state_path} can't be deleted: {error.strerror or error}.") from error
    finally:
        for claim in claims:
            claim.release()
    return [claim.folder for claim in claims]


def find_stores(state_path: Path, partition: int | None = None) -> list[Path]:
    """The folders of one lane's or all lanes' stores, spare ones too."""
    if not state_path.is_dir():
        return []
    return sorted(path for path in state_path.iterdir() if _is_store(path, partition))


def bytes_on_disk(folder: Path) -> int:
    """Bytes of all files in the folder."""
    total = 0
    with os.scandir(folder) as files:
        for file in files:
            try:
                total += file.stat().st_size
            except FileNotFoundError:  # merged into another just now
                continue
    return total


def _is_store(path: Path, partition: int | None) -> bool:
    named = _FOLDER_NAME.fullmatch(path.name)
    return named is not None and path.is_dir() and (partition is None or int(named[1]) == partition)


def _folder(state_path: Path, partition: int, number: int) -> Path:
    return state_path / (f"lane-{partition}.{number}" if number else f"lane-{partition}")


def _lock_file(folder: Path) -> Path:
    # beside the folder, which can be deleted while it is held
    return folder.with_name(folder.name + ".lock")


def _claim(folder: Path) -> DirectoryLock | None:
    path = _lock_file(folder)
    while True:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return None
        except BaseException:
            os.close(lock)
            raise
        if _is_still_at(path, lock):
            return DirectoryLock(folder, lock)
        os.close(lock)  # its holder deleted the file between our open and our lock


def _is_still_at(path: Path, lock: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(lock))
    except FileNotFoundError:
        return False


def _delete_unheld(candidates: Iterable[Path]) -> None:
    for folder in candidates:
        claim = _claim(folder) if folder.is_dir() else None
        if claim is not None:
            claim.delete()
