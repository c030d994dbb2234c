"""Puts into the image what a first start would make: the default model, its compiled form, and bytecode for every
module that our commands and a worker import. Run once, while the image is built.

Invariant: two builds of the same sources bake the same bytes.
"""

import importlib
import pkgutil
import py_compile
import sys
from pathlib import Path

import stream_scorer
from stream_scorer.models.registry.default_model import ensure_default_model
from stream_scorer.models.registry.model_directory import load_model


def import_everything() -> None:
    """Every module of ours, and with them all that they import."""
    for module in pkgutil.walk_packages(stream_scorer.__path__, "stream_scorer."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)


def compile_imported(prefix: Path) -> int:
    """Bytecode beside the sources of what is imported now. Checked by nothing at run time: the root is read-only."""
    sources = {Path(found) for module in sys.modules.values() if (found := getattr(module, "__file__", None))}
    ours = sorted(path for path in sources if path.suffix == ".py" and path.is_relative_to(prefix))
    for path in ours:
        py_compile.compile(str(path), doraise=True, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    return len(ours)


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> None:
    folder = ensure_default_model(say)
    say(f"{load_model(folder).name} in {folder}")
    import_everything()
    say(f"{compile_imported(Path(sys.prefix))} modules compiled")


if __name__ == "__main__":
    main()
