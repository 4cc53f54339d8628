from math import exp, lgamma, log, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scheduling_cases import history_of, visit

from rekindle.scheduling.belief import Belief
from rekindle.scheduling.priorities import signal_chance, uncertainty, uniform
from rekindle.scheduling.temperatures import fixed, residual_heating
from rekindle.types import UserError

RNG = np.random.default_rng(0)


def primed(successes, failures, belief=None):
    history = history_of(len(successes), belief)
    history.prime(np.arange(len(successes)), successes, failures)
    return history


def log_beta(a, b):
    return lgamma(a) + lgamma(b) - lgamma(a + b)


def chance_of_signal(a, b, k):
    """By Beta functions: E[p^K] = B(a + K, b) / B(a, b)."""
    return 1 - exp(log_beta(a + k, b) - log_beta(a, b)) - exp(log_beta(a, b + k) - log_beta(a, b))


def test_uniform_weights():
    assert uniform()(history_of(3), RNG).tolist() == [1, 1, 1]


@given(st.integers(0, 60), st.integers(0, 60), st.integers(2, 64))
def test_the_chance_of_signal_is_that_of_the_beta_binomial(successes, failures, k):
    weights = signal_chance(k, fixed(1.0), floor=0.0)(primed([successes], [failures]), RNG)
    assert weights[0] == pytest.approx(chance_of_signal(0.5 + successes, 0.5 + failures, k), rel=1e-9)


def test_the_chance_of_signal_by_hand():
    """Two rollouts differ with chance 2ab / (s (s + 1)): 1/2 * 1/2 at the prior of one prior rollout."""
    history = primed([0, 1, 4], [0, 0, 0])
    weights = signal_chance(2, fixed(1.0), floor=0.15)(history, RNG)
    assert weights.tolist() == pytest.approx([0.25, 2 * 1.5 * 0.5 / 6, 0.15])
    assert 2 * 4.5 * 0.5 / 30 == 0.15
    sharp = signal_chance(2, fixed(1.0), floor=0.2, sharpness=2.0)(history, RNG)
    assert sharp.tolist() == pytest.approx([0.0625, 0.0625, 0.04])


def test_a_thompson_sample_has_the_posterior_chance_on_average():
    """Hoeffding: the mean of 40,000 values in [0, 1] errs by more than 0.0135 with chance 1e-6."""
    history = primed([3] * 40_000, [1] * 40_000)
    weights = signal_chance(4, fixed(1.0), estimate="sample", floor=0.0)(history, np.random.default_rng(5))
    assert weights.mean() == pytest.approx(chance_of_signal(3.5, 1.5, 4), abs=sqrt(log(2e6) / 80_000))
    p = np.random.default_rng(5).beta(3.5, 1.5, 40_000)
    assert np.array_equal(weights, 1 - p**4 - (1 - p) ** 4)


@given(st.lists(st.floats(0.01, 0.99), min_size=2, max_size=20), st.integers(2, 16))
def test_ranking_by_chance_is_ranking_by_distance_to_one_half(rates, k):
    chance = [1 - p**k - (1 - p) ** k for p in rates]
    for p, one in zip(rates, chance, strict=True):
        for q, two in zip(rates, chance, strict=True):
            if abs(p - 0.5) < abs(q - 0.5) - 1e-6:
                assert one >= two


def test_without_sharpness_weights_are_exactly_one_and_no_random_number_is_used():
    rng = np.random.default_rng(3)
    history = primed([0, 5, 9], [9, 5, 0])
    weights = signal_chance(4, fixed(1.0), estimate="sample", sharpness=0.0)(history, rng)
    assert weights.tolist() == [1, 1, 1]
    assert rng.random() == np.random.default_rng(3).random()


def test_many_prompts_are_weighed_as_each_alone():
    successes = RNG.integers(0, 9, 20_000)
    weights = signal_chance(4, fixed(1.0))(primed(successes, 8 - successes), RNG)
    each = [max(0.05, chance_of_signal(0.5 + s, 8.5 - s, 4)) for s in range(9)]
    assert weights == pytest.approx(np.array(each)[successes])


def test_prompts_without_evidence_have_the_chance_of_the_prior():
    """They are not computed one by one; the others are weighed as where there are no such prompts."""
    successes = np.zeros(20_000, int)
    successes[::7] = RNG.integers(1, 9, len(successes[::7]))
    rule, belief = signal_chance(4, fixed(1.0), floor=0.0, sharpness=3.0), Belief(0.3, 0.7)
    weights = rule(primed(successes, 0 * successes, belief), RNG)
    alone = rule(primed(successes[::7], 0 * successes[::7], belief), RNG)
    assert weights[::7].tolist() == alone.tolist()
    assert set(np.delete(weights, np.s_[::7]).tolist()) == set(rule(primed([0], [0], belief), RNG).tolist())
    assert weights[1] == pytest.approx(chance_of_signal(0.3, 0.7, 4) ** 3)


def test_evidence_moves_with_the_temperature():
    """8 of 10 at temperature 1 is logit log 4; at 2 it is log 2, a rate of 2/3. No visit, no evidence to move."""
    history = history_of(3, Belief(0, 0))
    for row in (0, 1):
        visit(history, row, 8, n=10, temperature=1.0 + row)
    history.prime(np.array([2]), [8], [2])
    weights = signal_chance(4, fixed(2.0), floor=0.0)(history, RNG)
    assert weights[0] == pytest.approx(chance_of_signal(20 / 3, 10 / 3, 4))
    assert weights[1:].tolist() == pytest.approx([chance_of_signal(8, 2, 4)] * 2)


def test_a_raised_temperature_raises_the_chance_of_solved_prompts_only():
    history, rule = history_of(3), residual_heating(1.1, 0.1, 1.7)
    for row, successes in enumerate((8, 0, 4)):
        for _ in range(3):
            rule.learn(history, row, visit(history, row, successes, n=8, temperature=rule(history, row)))
    hot, flat = (signal_chance(8, one, floor=0.0)(history, RNG) for one in (rule, fixed(1.1)))
    assert hot[0] > flat[0]
    # What was always seen at 1.1 and will be seen at 1.1 is not moved at all, although 1.1 is stored with 32 bits.
    assert hot[1:].tolist() == flat[1:].tolist()
    assert flat[1] == pytest.approx(chance_of_signal(0.5, 24.5, 8))


def test_no_evidence_and_no_prior_never_fails():
    history = primed([0, 3], [0, 0], Belief(0, 0))
    for estimate in ("mean", "sample"):
        weights = signal_chance(4, fixed(1.0), estimate=estimate)(history, RNG)
        assert np.isfinite(weights).all()
    assert weights[1] == pytest.approx(0.05)


def test_uncertainty_is_the_std_of_a_rollout():
    history = primed([0, 8, 2], [0, 2, 0], Belief(0, 0))
    assert uncertainty(0.05)(history, RNG).tolist() == pytest.approx([0.55, 0.45, 0.05])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: signal_chance(1, fixed(1.0)), r"group_size = 1 is a group without signal"),
        (lambda: signal_chance(4, fixed(1.0), floor=1.5), r"floor = 1\.5 is outside .*; give a probability"),
        (lambda: signal_chance(4, fixed(1.0), sharpness=-1), r"sharpness = -1 is outside"),
        (lambda: uncertainty(-0.1), r"offset = -0\.1 is outside"),
    ],
)
def test_settings_out_of_range_are_refused(make, message):
    with pytest.raises(UserError, match=message):
        make()
