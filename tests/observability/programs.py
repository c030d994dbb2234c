"""The programs that these tests need beside Python: found, or said to be missing; where they are insisted on (as CI
does), missing is a failure.
"""

import os
import shutil

import pytest

INSIST = "STREAM_SCORER_TEST_INSIST"


def program(name: str, package: str) -> str:
    """The program's path. Without it the test is skipped, or fails where STREAM_SCORER_TEST_INSIST is set."""
    found = shutil.which(name)
    if found is None:
        advice = f"{name} is not on this machine: install Debian's package {package}, or what carries it elsewhere"
        if os.environ.get(INSIST):
            pytest.fail(advice, pytrace=False)
        pytest.skip(advice)
    return found
