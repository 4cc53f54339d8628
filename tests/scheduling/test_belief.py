import numpy as np
import pytest

from rekindle.scheduling.belief import Belief
from rekindle.types import UserError


@pytest.mark.parametrize(
    ("moved", "factor"),
    [(0.0, 0.96), (0.003, 0.96), (0.006, 2**-0.1), (0.01, 2 ** (-1 / 6)), (0.06, 0.875), (5.0, 0.875)],
)
def test_spo_forgets_by_movement_within_bounds(moved, factor):
    assert Belief(0, 0, half_life=0.06, least=0.875, most=0.96).discount(moved) == pytest.approx(factor)


@pytest.mark.parametrize("moved", [0.0, 0.3, 1e4])
def test_mopps_forgets_the_same_at_every_visit_and_nothing_in_between(moved):
    belief = Belief(1, 1, least=0.7, most=0.7)
    assert (belief.discount(moved), belief.staleness(moved)) == (0.7, 1.0)


@pytest.mark.parametrize("moved", [0.0, 0.3, 1e4])
def test_nothing_is_forgotten_by_default(moved):
    assert (Belief().discount(moved), Belief().staleness(moved)) == (1.0, 1.0)


def test_staleness_halves_per_half_life_without_bounds_for_one_number_and_for_many():
    belief = Belief(half_life=0.5, least=0.9)
    moved = np.array([0.0, 0.5, 1.0, 2.0, 1e6])
    assert belief.staleness(moved).tolist() == [1.0, 0.5, 0.25, 0.0625, 0.0]
    assert [belief.staleness(float(one)) for one in moved] == belief.staleness(moved).tolist()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"prior_failures": -1.0}, "prior_failures = -1.0 is outside .*; give a count"),
        ({"half_life": 0.0}, r"half_life = 0.0 is outside .*; leave it out"),
        ({"least": 0.9, "most": 0.8}, r"least = 0.9 and most = 0.8 must be ordered"),
        ({"most": 1.5}, "most = 1.5"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        Belief(**settings)
