"""The files of a model directory.

Invariant: all of them or none, and none that is not, bit for bit, what was saved.
"""

import shutil
import tempfile
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from stream_scorer.core.records.decode import UNREADABLE
from stream_scorer.errors import ModelError

PIPELINE, CARD, GOLDEN, DIGEST = "pipeline.skops", "card.json", "golden.json", "digest.json"
FILES = (CARD, GOLDEN, PIPELINE)


def write_files(folder: Path, contents: dict[str, bytes]) -> str:
    """Write a new model directory from the content of its `FILES`; gives its digest. Raises ModelError when the folder
    is not empty, or the disk does not let us."""
    refuse_existing(folder)
    digest = digest_of(contents)
    sealed = as_json({"digest": digest, "files": {file: sha256(contents[file]).hexdigest() for file in FILES}})
    write_together(folder, {**contents, DIGEST: sealed})
    return digest


def digest_of(contents: dict[str, bytes]) -> str:
    """One digest over all files: of their names and their own digests."""
    lines = "".join(f"{sha256(contents[file]).hexdigest()}  {file}\n" for file in FILES)
    return sha256(lines.encode()).hexdigest()


def read_files(folder: Path) -> tuple[dict[str, bytes], str]:
    """The directory's files and their digest. Raises ModelError when one is missing or is not the one that was
    saved."""
    contents = {}
    for file in (DIGEST, *FILES):
        try:
            contents[file] = (folder / file).read_bytes()
        except OSError as error:
            why = "is missing" if isinstance(error, FileNotFoundError) else f"can't be read ({error.strerror})"
            remedy = "give a model directory as `stream-scorer train` writes it"
            raise ModelError(f"{folder / file} {why}: {remedy}") from error
    said = json_object(contents[DIGEST], folder / DIGEST)
    files = said.get("files")
    changed = [
        file for file in FILES if not isinstance(files, dict) or sha256(contents[file]).hexdigest() != files.get(file)
    ]
    digest = digest_of(contents)
    if changed or digest != said.get("digest"):
        where = ", ".join(changed) or DIGEST
        raise ModelError(
            f"{folder} was changed after it was saved ({where} does not match its digest): copy the whole "
            "directory again"
        )
    return contents, digest


def json_object(content: bytes, path: Path) -> dict[str, Any]:
    try:
        return msgspec.json.decode(content, type=dict[str, Any])
    except UNREADABLE as error:
        raise ModelError(f"{path} is not a JSON object ({error}): save the model again") from error


def as_json(value: object) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n"


def refuse_existing(folder: Path) -> None:
    """Raises ModelError when something is there that a model would overwrite."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ModelError(f"{folder} exists already: give a new folder, or remove it first")


def write_together(folder: Path, contents: dict[str, bytes]) -> None:
    """All files or none: written beside the folder, then renamed. Raises ModelError when the disk does not let us."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            for file, content in contents.items():
                (partial / file).write_bytes(content)
            partial.chmod(0o755)
            partial.rename(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    except OSError as error:
        refuse_existing(folder)  # another one was quicker
        raise ModelError(f"{folder} can't be written ({error.strerror}): give another folder, or make room") from error
