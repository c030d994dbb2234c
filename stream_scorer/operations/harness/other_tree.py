"""Commands of another source tree, such as that of a release before, run by this Python."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from stream_scorer.errors import SettingsError

TOPICS_WAIT_S_MAX = 120.0


def environ_of_tree(tree: Path) -> dict[str, str]:
    """Variables with which `python -m stream_scorer` is that source tree's. Without the second one the folder that it
    is started in would come first."""
    return {"PYTHONPATH": str(tree), "PYTHONSAFEPATH": "1"}


def apply_topics_of_tree(tree: Path, bootstrap: str, prefix: str, environ: Mapping[str, str]) -> None:
    """Make topics by that tree's own command, as its workers want them. `environ`: further settings. Raises
    `SettingsError` with what it said."""
    command = [sys.executable, "-m", "stream_scorer", "topics", "apply", "--bootstrap", bootstrap, "--prefix", prefix]
    made = subprocess.run(
        command,
        env=os.environ | environ | environ_of_tree(tree),
        capture_output=True,
        text=True,
        check=False,
        timeout=TOPICS_WAIT_S_MAX,
    )
    if made.returncode:
        raise SettingsError(f"the topics of the source tree {tree} can't be made: {made.stderr.strip()}")
