"""Which tests are fast."""

from collections.abc import Iterable

import pytest

from rekindle.recipes import on_given_tasks

COLLECTED = pytest.StashKey[list[tuple[str, bool]]]()
"""The name of every test that was found, with whether it is slow: what ``test_gate`` reads."""

LIKE_OTHERS = {
    "bounded_dapo", "soft_recycle", "dr_grpo", "rloo", "gpg", "maxrl", "reinforce_pp", "reinforce_pp_baseline", "gspo",
    "cispo", "rl_zvp", "reinforce_pp_ntf", "prompt_baseline", "mopps",
}  # fmt: skip
"""Recipes that differ from another one in a pure function of rewards or ratios, which has tests of its own."""
OF_THEIR_OWN = [recipe for recipe in on_given_tasks() if recipe not in LIKE_OTHERS]
"""Recipes whose whole run is a fast test."""


def sample(cases: Iterable, *fast):
    """The cases of a parametrized test, slow but for those in ``fast``, each of which must be among them."""
    cases = list(cases)
    assert all(one in cases for one in fast), f"not among the cases: {[one for one in fast if one not in cases]}"
    return [pytest.param(one, marks=() if one in fast else pytest.mark.slow) for one in cases]
