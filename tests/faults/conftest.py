"""Fixtures of the fault tests that several of them share."""

from tests.support.candidate_models import models  # noqa: F401  # a fixture that pytest finds here
