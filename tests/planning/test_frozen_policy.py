import numpy as np
import pytest

from fast import sample
from rekindle import History, Scheduler
from rekindle.planning.frozen_policy import frozen_run, posterior_rates, recycled_share
from rekindle.scheduling.pools import RecyclingPool


def frozen_share(rates, draws_per_prompt, seed=0):
    prompts = len(rates)
    scheduler = Scheduler(RecyclingPool(History(map(str, range(prompts)))), groups_per_step=32, oversample=2, seed=seed)
    steps = round(draws_per_prompt * prompts / 64)
    return recycled_share(frozen_run(scheduler, rates, steps, np.random.default_rng(seed)))


@pytest.mark.parametrize("shape", sample([(0.3, 0.3), (0.5, 0.5), (1.0, 1.0), (0.5, 1.0)], (0.5, 0.5)))
def test_a_frozen_policy_already_recycles_between_57_and_82_percent(shape):
    """The paper's setting: K = 4, k = 2, B = 32, each prompt drawn about twice; the share of the last quarter."""
    first, second = shape
    rates = np.random.default_rng(1).beta(first, second, 4096)
    assert 0.57 <= frozen_share(rates, draws_per_prompt=2).recycled <= 0.82


def test_prompts_that_are_always_or_never_solved_are_never_rescued():
    rates = np.array([0.0, 1.0] * 500)
    shares = frozen_share(rates, 3)
    assert np.isnan(shares.recycled)
    assert shares.all_correct == pytest.approx(0.5, abs=0.06)


def test_posterior_rates_have_the_mean_of_the_counts():
    counts = [0] * 50 + [2] * 25 + [4] * 25
    rates = posterior_rates(counts, [4] * 100, 200_000, np.random.default_rng(0))
    expected = 0.5 * (0.5 / 5) + 0.25 * (2.5 / 5) + 0.25 * (4.5 / 5)
    assert rates.mean() == pytest.approx(expected, abs=0.005)
