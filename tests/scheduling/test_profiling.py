from math import ceil, comb, floor, log2, sqrt
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rekindle.scheduling.profiling import (
    Profile,
    ProfileError,
    ProfileKey,
    group_size,
    phases,
    select,
    signal_per_rollout,
)
from rekindle.types import UserError

KEY = ProfileKey("m", "exact_match", 1.0, 24)


def profile(successes, samples=8, generated=0, prompt=0):
    rows = len(successes)
    given = (successes, *np.broadcast_arrays(samples, generated, prompt))
    solved, played, *tokens = (np.broadcast_to(np.array(values, np.int64), rows) for values in given)
    return Profile(KEY, tuple(f"t{row}" for row in range(rows)), solved, played, tokens[0], tokens[1])


# -- group sizes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rounding", "sizes"),
    [
        ("floor", [8, 8, 4, 2, 2, 2, 2, 2, 2]),
        ("nearest", [8, 8, 4, 2, 2, 2, 2, 2, 2]),
        ("ceil", [8, 8, 4, 4, 2, 2, 2, 2, 2]),
    ],
)
def test_group_sizes_of_eight_samples(rounding, sizes):
    assert [group_size(k, 8, rounding=rounding) for k in range(9)] == sizes


@pytest.mark.parametrize(
    ("rounding", "sizes"),
    [
        # 16 / k = 16, 8, 5.3, 4, 3.2, 2.67, 2.29, 2, ... ; nearest goes up above 2.83 and 5.66
        ("floor", [16, 16, 8, 4, 4, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1]),
        ("nearest", [16, 16, 8, 4, 4, 4, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1]),
        ("ceil", [16, 16, 8, 8, 4, 4, 4, 4, 2, 2, 2, 2, 2, 2, 2, 2, 1]),
    ],
)
def test_group_sizes_of_sixteen_samples_without_bounds(rounding, sizes):
    assert [group_size(k, 16, minimum=1, maximum=16, rounding=rounding) for k in range(17)] == sizes


@given(st.integers(1, 40), st.integers(1, 2**60))
def test_powers_of_two_are_exact(exponent, successes):
    for rounding in ("floor", "nearest", "ceil"):
        assert group_size(successes, successes << exponent, 1, 2**50, rounding) == 2**exponent


@given(st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(1, n), st.just(n))))
def test_equals_the_formula(case):
    successes, samples = case
    exact = log2(samples / successes)
    if abs(exact - round(exact)) > 1e-9:  # at whole numbers the logarithm's own rounding would decide
        ways: list[Any] = [("floor", floor), ("ceil", ceil), ("nearest", round)]
        for rounding, function in ways:
            assert group_size(successes, samples, 1, 2**20, rounding) == 2 ** function(exact)


@given(st.integers(1, 64), st.integers(1, 16), st.integers(1, 16))
def test_harder_prompts_have_no_smaller_groups_and_all_are_within_bounds(samples, one, other):
    low, high = sorted((one, other))
    sizes = [group_size(k, samples, low, high) for k in range(samples + 1)]
    assert sizes == sorted(sizes, reverse=True)
    assert set(sizes) <= set(range(low, high + 1))


@pytest.mark.parametrize("arguments", [(9, 8), (-1, 8), (0, 0), (1, 8, 4, 2), (1, 8, 0, 2)])
def test_impossible_numbers_are_refused(arguments):
    with pytest.raises(UserError, match=r"impossible; give"):
        group_size(*arguments)


# -- why 1/p -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("success_rate", "best"), [(1 / 8, 8), (1 / 5, 5), (1 / 4, 4), (1 / 3, 3)])
def test_a_rollout_buys_most_at_a_group_size_of_one_over_p(success_rate, best):
    assert max(range(1, 200), key=lambda size: signal_per_rollout(success_rate, size)) == best


def test_signal_per_rollout_by_hand():
    # G = 2: one success of two, advantage 1, chance 2pq; G = 3: sqrt(2) with 3pq^2, sqrt(1/2) with 3p^2q.
    p, q = 0.3, 0.7
    assert signal_per_rollout(p, 2) == pytest.approx(2 * p * q / 2)
    assert signal_per_rollout(p, 3) == pytest.approx((sqrt(2) * 3 * p * q * q + sqrt(1 / 2) * 3 * p * p * q) / 3)
    assert signal_per_rollout(p, 1) == signal_per_rollout(0.0, 8) == signal_per_rollout(1.0, 8) == 0.0


def test_signal_per_rollout_is_the_mean_over_drawn_groups():
    rng = np.random.default_rng(0)
    k = rng.binomial(6, 0.2, 200_000)
    drawn = np.where((k > 0) & (k < 6), np.sqrt((6 - k) / np.maximum(k, 1)), 0) / 6
    assert signal_per_rollout(0.2, 6) == pytest.approx(drawn.mean(), abs=5 * drawn.std() / sqrt(k.size))


def test_neither_signal_chance_nor_mean_advantage_would_say_one_over_p():
    """P(signal) / G is best at 2, and mean |A| per rollout grows with G: the docstring's claim is about neither."""
    p = 1 / 8
    chance = [1 - p**size - (1 - p) ** size for size in range(2, 20)]
    assert max(range(18), key=lambda at: chance[at] / (at + 2)) == 0
    mean = [
        sum(comb(g, k) * p**k * (1 - p) ** (g - k) * 2 * sqrt(k * (g - k)) / g for k in range(1, g))
        for g in range(2, 20)
    ]
    assert mean == sorted(mean)


# -- selection and phases ----------------------------------------------------------------------------------------------


def test_selection_by_hand():
    chosen = select(profile([0, 1, 2, 5, 6, 7, 8, 0]), unsolved_share=0.5, seed=0)
    assert chosen.trivial.tolist() == [5, 6]
    assert chosen.unsolved.tolist() == [0, 7]
    assert chosen.learnable.tolist() == [1, 2, 3, 4]  # 6 of 8 is 0.75, which is not above
    assert chosen.kept_unsolved.tolist() in ([0], [7])


def test_a_prompt_without_samples_is_in_no_class():
    chosen = select(profile([0, 0, 3], samples=[8, 0, 8]), unsolved_share=1.0, seed=0)
    assert chosen.unsolved.tolist() == [0]
    assert chosen.learnable.tolist() == [2]
    assert chosen.trivial.size == 0


@pytest.mark.parametrize(
    ("share", "count", "kept"),
    [(0.1, 30, 3), (0.1, 31, 4), (0.1, 1, 1), (0.0, 30, 0), (1.0, 30, 30), (0.7, 10, 7), (1e-5, 30, 1), (0.1, 0, 0)],
)
def test_the_kept_share_is_rounded_up_as_a_decimal(share, count, kept):
    chosen = select(profile([0] * count + [1]), unsolved_share=share, seed=0)
    assert chosen.kept_unsolved.size == kept


@given(
    st.lists(st.integers(0, 8), min_size=1, max_size=60),
    st.floats(0, 1),
    st.floats(0, 1),
    st.integers(0, 2**40),
)
def test_classes_are_a_partition_and_the_subsample_is_nested(successes, trivial_above, share, seed):
    found = profile(successes)
    chosen = select(found, trivial_above=trivial_above, unsolved_share=share, seed=seed)
    assert sorted([*chosen.trivial, *chosen.unsolved, *chosen.learnable]) == list(range(len(successes)))
    again = select(found, trivial_above=trivial_above, unsolved_share=share, seed=seed)
    assert again.kept_unsolved.tolist() == chosen.kept_unsolved.tolist() == sorted(chosen.kept_unsolved)
    more = select(found, trivial_above=trivial_above, unsolved_share=min(1.0, 2 * share), seed=seed)
    assert set(chosen.kept_unsolved) <= set(more.kept_unsolved) <= set(chosen.unsolved)


def test_another_seed_keeps_others():
    found = profile([0] * 1000)
    one, two = (set(select(found, seed=seed).kept_unsolved.tolist()) for seed in (0, 1))
    assert len(one) == len(two) == 100
    assert len(one & two) < 40  # 10 expected


def test_phases_go_from_easy_to_hard_with_the_unsolved_in_each():
    found = profile([1, 6, 0, 2, 3, 8, 0, 1, 2])
    chosen = select(found, unsolved_share=0.5, seed=3)
    (kept,) = chosen.kept_unsolved.tolist()
    made = phases(found, chosen)
    assert [phase.group_size for phase in made] == [2, 4, 8]
    assert [phase.rows.tolist() for phase in made] == [sorted([*rows, kept]) for rows in ([1, 4], [3, 8], [0, 7])]


def test_a_group_size_without_prompts_has_no_phase():
    found = profile([1, 6, 0])
    made = phases(found, select(found, unsolved_share=0.0, seed=0))
    assert [(phase.group_size, phase.rows.tolist()) for phase in made] == [(2, [1]), (8, [0])]


def test_bounds_and_rounding_reach_the_phases_and_samples_may_differ_per_prompt():
    found = profile([3, 3, 1], samples=[8, 4, 32])
    sizes = [(phase.group_size, phase.rows.tolist()) for phase in phases(found, select(found, seed=0), 2, 32, "ceil")]
    assert sizes == [(2, [1]), (4, [0]), (32, [2])]


@pytest.mark.parametrize(
    ("successes", "sentence"),
    [
        ([8, 8, 7], r"all 3 prompts are trivial; raise trivial_above"),
        ([0, 0], r"none of the 2 prompts was solved in 8 samples.*profile with more samples"),
        ([8, 0, 7], r"2 prompts are trivial, 1 were never solved.*raise trivial_above.*more than 8 samples"),
    ],
)
def test_nothing_to_train_on_says_why(successes, sentence):
    found = profile(successes)
    with pytest.raises(ProfileError, match=sentence) as error:
        phases(found, select(found, seed=0))
    assert "\n" not in str(error.value)


def test_nothing_that_could_be_played_says_so():
    found = profile([0], samples=[0])
    with pytest.raises(ProfileError, match="could be played"):
        phases(found, select(found, seed=0))


# -- the table ---------------------------------------------------------------------------------------------------------


def test_derived_numbers_by_hand():
    found = profile([2, 0], samples=[8, 0], generated=[20, 0], prompt=[5, 0])
    assert found.success_rates.tolist() == [0.25, 0.0]
    assert found.mean_lengths.tolist() == [2.5, 0.0]
    assert (len(found), found.total_samples, found.total_tokens) == (2, 8, 25)


@pytest.mark.parametrize(
    "columns",
    [{"successes": [9]}, {"successes": [-1]}, {"successes": [0], "generated": -1}, {"successes": [0], "prompt": -1}],
)
def test_columns_that_contradict_are_refused(columns):
    with pytest.raises(ProfileError, match="'t0' has"):
        profile(**columns)


def test_ids_are_distinct():
    two = np.zeros(2, np.int64)
    with pytest.raises(ProfileError, match="same prompt id"):
        Profile(KEY, ("a", "a"), two, two, two, two)
