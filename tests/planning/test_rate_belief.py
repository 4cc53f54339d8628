"""What counts say of success rates: tables by hand, and what more samples change."""

import numpy as np
import pytest

from rekindle.planning.belief import EXTREMES, RateBelief, believe
from rekindle.planning.pass_rates import MOST_SAMPLES, PassRates, grouped_rates
from rekindle.planning.signal import beta_share, counted_share
from rekindle.planning.totals import interval_of
from rekindle.scheduling.profiling import ProfileError


def rates_of(successes, samples, prompts=1, **known):
    right, asked, number, lengths = grouped_rates(successes, samples, prompts, where="counts")
    return PassRates(successes=right, samples=asked, prompts=number, sampled_tokens=lengths, **known)


def only_beta(rates, a, b):
    """A belief in Beta(a, b) alone."""
    return RateBelief(rates, np.array([[1e-12, 1e-12, 1.0]]), np.array([a]), np.array([b]))


def share_with_signal(belief, size):
    wrong, correct = belief.all_alike(size)
    number = belief.rates.prompts
    return (1 - wrong - correct) @ (number / number.sum())


def test_prompts_of_equal_counts_are_one_cell():
    rates = rates_of([1, 0, 1, 2], [2, 4, 2, 2], [1, 3, 5, 0])
    assert rates.successes.tolist() == [1, 0]
    assert rates.samples.tolist() == [2, 4]
    assert rates.prompts.tolist() == [6, 3]
    assert (rates.measured, rates.never, rates.always, rates.most_samples) == (9, 3, 0, 4)
    assert rates.mean == pytest.approx(6 * 0.5 / 9)


def test_more_samples_than_are_told_apart_keep_their_rate_and_their_kind():
    many = 10 * MOST_SAMPLES
    rates = rates_of([0, 1, many // 2, many - 1, many], [many] * 5)
    assert rates.samples.tolist() == [MOST_SAMPLES] * 5
    assert rates.successes.tolist() == [0, 1, MOST_SAMPLES // 2, MOST_SAMPLES - 1, MOST_SAMPLES]


@pytest.mark.parametrize(("successes", "samples", "prompts"), [([3], [2], 1), ([-1], [2], 1), ([1], [2], -1)])
def test_impossible_counts_are_refused(successes, samples, prompts):
    with pytest.raises(ProfileError, match=r"counts, row 1.*impossible"):
        grouped_rates(successes, samples, prompts, where="counts")


def test_a_prompt_s_posterior_by_hand():
    """Uniform prior and 1 of 2: Beta(2, 2), so a pair is mixed with 2 x E[p (1 - p)] = 2 x 4 / (4 x 5)."""
    belief = only_beta(rates_of([1], [2]), 1.0, 1.0)
    assert share_with_signal(belief, 2) == pytest.approx(0.4, abs=1e-9)
    assert share_with_signal(belief, 5) == pytest.approx(beta_share(2, 2, 5), abs=1e-9)
    assert belief.variance() == pytest.approx(0.2, abs=1e-9)


def test_prompts_that_are_almost_never_solved_have_small_rates():
    belief = RateBelief(rates_of([0], [4]), np.array([[1.0, 1e-12, 1e-12]]), np.ones(1), np.ones(1))
    drawn = belief.drawn_rates(0, np.zeros(500, int), np.random.default_rng(0))
    assert set(drawn) <= set(EXTREMES)
    wrong, correct = belief.all_alike(8)
    assert 0.95 < wrong[0, 0] < 1
    assert correct[0, 0] < 1e-15


@pytest.mark.parametrize(("a", "b"), [(0.5, 0.5), (2.0, 5.0)])
def test_enough_samples_find_the_distribution_that_they_came_from(a, b):
    rng = np.random.default_rng(1)
    counts = rng.binomial(16, rng.beta(a, b, 3000))
    belief = believe(rates_of(counts, np.full(3000, 16)))
    for size in (2, 8, 32):
        assert share_with_signal(belief, size).mean() == pytest.approx(beta_share(a, b, size), rel=0.05)


def test_the_share_agrees_with_the_unbiased_count_where_there_is_one():
    counts = np.random.default_rng(2).binomial(8, np.random.default_rng(3).beta(0.4, 0.6, 2000))
    belief = believe(rates_of(counts, np.full(2000, 8)))
    for size in (2, 4, 8):
        assert share_with_signal(belief, size).mean() == pytest.approx(
            counted_share(counts.tolist(), 8, size), rel=0.05
        )


def test_more_samples_narrow_the_interval():
    rng = np.random.default_rng(4)
    truth = np.where(rng.random(400) < 0.4, 0.0, rng.beta(0.6, 1.5, 400))
    widths = []
    for samples in (1, 2, 4, 16):
        belief = believe(rates_of(rng.binomial(samples, truth), np.full(400, samples)))
        share = interval_of(share_with_signal(belief, 16))
        widths.append(share.high - share.low)
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] < widths[0] / 5


@pytest.mark.parametrize("counts", [([0], [2]), ([0] * 50, [8] * 50), ([8] * 50, [8] * 50), ([1], [1])])
def test_little_or_one_sided_evidence_gives_shares_within_bounds(counts):
    belief = believe(rates_of(*counts))
    for size in (1, 2, 64):
        wrong, correct = belief.all_alike(size)
        assert np.isfinite(wrong).all()
        assert ((wrong >= 0) & (correct >= 0) & (wrong + correct <= 1 + 1e-9)).all()


def test_a_pool_of_the_profile_s_size_has_its_counts_and_another_its_proportions():
    belief = believe(rates_of([0, 1, 2], [2, 2, 2], [50, 30, 20]), draws=5)
    rng = np.random.default_rng(0)
    assert np.bincount(belief.drawn_cells(100, rng)).tolist() == [50, 30, 20]
    assert np.bincount(belief.drawn_cells(10_000, rng)) / 10_000 == pytest.approx([0.5, 0.3, 0.2], abs=0.2)


def test_the_same_counts_say_the_same():
    one, two = (believe(rates_of([0, 1, 4], [4, 4, 4], [5, 3, 2])) for _ in range(2))
    assert (one.a == two.a).all()
    assert (one.shares == two.shares).all()
