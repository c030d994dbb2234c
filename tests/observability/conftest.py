"""Fixtures for the programs that watch."""

import pytest

from tests.support.candidate_models import models  # noqa: F401  # a fixture that pytest finds here
from tests.support.programs import program


@pytest.fixture(scope="session")
def promtool() -> str:
    return program("promtool", "prometheus")


@pytest.fixture(scope="session")
def prometheus_program() -> str:
    return program("prometheus", "prometheus")
