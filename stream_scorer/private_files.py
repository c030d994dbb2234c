"""Files and folders that only their owner may read: state, caches and run folders quote what events say of people.

Invariant: a folder is 0700 and a file 0600 from its first moment, whatever the umask.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

FOLDER: Final = 0o700
FILE: Final = 0o600


def private_umask() -> None:
    """From now on all that this process and its children make is their owner's only. For commands that keep state; not
    for those that write files for others to read."""
    os.umask(0o077)


def private_folder(path: Path) -> Path:
    """The folder, made where it is not there, with its parents; one of ours that others could read is closed to them.
    Raises OSError."""
    missing = []
    for folder in (path, *path.parents):
        if folder.exists():
            break
        missing.append(folder)
    for folder in reversed(missing):
        folder.mkdir(mode=FOLDER, exist_ok=True)
    with suppress(PermissionError):  # somebody else's, as a volume's root may be
        if path.stat().st_mode & 0o077:
            path.chmod(FOLDER)
    return path


def write_private(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all. Raises OSError."""
    private_folder(path.parent)
    draft = path.with_name(f".{path.name}.{os.getpid()}.new")
    file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, FILE)
    try:
        with os.fdopen(file, "wb") as out:
            out.write(content)
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
