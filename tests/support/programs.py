"""What these tests need beside the locked packages: found, or said to be missing; where it is insisted on (as CI does),
missing is a failure.
"""

import importlib.util
import os
import shutil
from typing import NoReturn

import pytest

INSIST = "STREAM_SCORER_TEST_INSIST"


def program(name: str, package: str) -> str:
    """The program's path. Without it the test is skipped, or fails where STREAM_SCORER_TEST_INSIST is set."""
    found = shutil.which(name)
    if found is None:
        go_without(f"{name} is not on this machine: install Debian's package {package}, or what carries it elsewhere")
    return found


def need_package(name: str, advice: str) -> None:
    """Skip the test, or fail, as `program` does, where a Python package can't be imported."""
    if importlib.util.find_spec(name) is None:
        go_without(f"the package {name} is not installed: {advice}")


def go_without(advice: str) -> NoReturn:
    """Skip the test, or fail where nothing may be left out."""
    if os.environ.get(INSIST):
        pytest.fail(advice, pytrace=False)
    pytest.skip(advice)
