"""Which tests are fast, and which need a library that has an environment of its own."""

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution

import pytest

COLLECTED = pytest.StashKey[list[tuple[str, bool]]]()
"""The name of every test that was found, with whether it is slow: what ``test_gate`` reads."""

ELSEWHERE = {"trl": "make test-trl", "verl": "make test-verl"}
"""Rooms of tests named after the library that they need, with the command that has it."""

OF_THEIR_OWN = ["recycle", "erpo", "sgpo", "c_rf_ntf"]
"""Recipes whose whole run is a fast test. Each other one differs from one of these in a part with tests of its own."""


def sample(cases: Iterable, *fast):
    """The cases of a parametrized test, slow but for those in ``fast``, each of which must be among them."""
    cases = list(cases)
    assert all(one in cases for one in fast), f"not among the cases: {[one for one in fast if one not in cases]}"
    return [pytest.param(one, marks=() if one in fast else pytest.mark.slow) for one in cases]


def has(library):
    """Whether a distribution is installed. With tests/ on the path, ``find_spec("trl")`` finds the folder of tests."""
    try:
        distribution(library)
    except PackageNotFoundError:
        return False
    return True
