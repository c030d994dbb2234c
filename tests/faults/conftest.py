"""Fixtures of the fault tests that several of them share."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.candidate_models import models  # noqa: F401  # a fixture that pytest finds here
from tests.support.workers import ROOT

# The last release that had a producer for each lane, and whose models came from the settings alone
RELEASE_BEFORE = "86f6a7c"


@pytest.fixture(scope="module")
def release_before(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Its source tree."""
    tree = tmp_path_factory.mktemp("release") / "tree"
    git = ["git", "-C", str(ROOT), "worktree"]
    made = subprocess.run([*git, "add", "--detach", str(tree), RELEASE_BEFORE], capture_output=True, check=False)
    if made.returncode:
        pytest.skip(f"{RELEASE_BEFORE} is not in this clone's history")
    yield tree
    subprocess.run([*git, "remove", "--force", str(tree)], check=True)
