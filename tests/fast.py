"""Which cases of a table the fast tests play."""

from collections.abc import Iterable

import pytest


def sample(cases: Iterable, *fast):
    """The cases of a parametrized test, slow but for those in ``fast``, each of which must be among them."""
    cases = list(cases)
    assert all(one in cases for one in fast), f"not among the cases: {[one for one in fast if one not in cases]}"
    return [pytest.param(one, marks=() if one in fast else pytest.mark.slow) for one in cases]
