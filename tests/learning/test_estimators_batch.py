"""Estimators that see the whole batch, as the training loop calls them: hand tables, limits and exact expectations."""

import math
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rekindle.learning.estimators import (
    ESTIMATORS,
    Compared,
    batch_standardize,
    dr_grpo,
    over_batch,
    per_group,
    shrunk_baseline,
)
from rekindle.learning.estimators.shrunk_baseline import posterior_means
from rekindle.types import UserError

rewards = st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=1, max_size=5)
counts = st.floats(0, 30)
batches = st.lists(st.builds(Compared, rewards, counts, counts), min_size=1, max_size=6)


def advantages(name, *groups):
    return ESTIMATORS[name].function(groups)


def flat(rows):
    return [value for row in rows for value in row]


@pytest.mark.parametrize("name", ESTIMATORS)
@settings(deadline=None, max_examples=60)
@given(groups=batches)
def test_every_estimator_answers_ragged_groups_in_their_shape_with_finite_numbers(name, groups):
    rows = ESTIMATORS[name].function(groups)
    assert [len(row) for row in rows] == [len(group.rewards) for group in groups]
    assert all(map(math.isfinite, flat(rows)))


@pytest.mark.parametrize("name", [name for name, entry in ESTIMATORS.items() if entry.scope == "group"])
@settings(deadline=None, max_examples=60)
@given(groups=batches)
def test_group_scope_means_that_the_rest_of_the_batch_does_not_matter(name, groups):
    function = ESTIMATORS[name].function
    assert function(groups) == [function([group])[0] for group in groups]


@pytest.mark.parametrize("name", [name for name, entry in ESTIMATORS.items() if not entry.reads_history])
@settings(deadline=None, max_examples=60)
@given(groups=batches)
def test_who_does_not_read_history_does_not_see_it(name, groups):
    function = ESTIMATORS[name].function
    assert function(groups) == function([Compared(group.rewards) for group in groups])


@pytest.mark.parametrize("name", ESTIMATORS)
def test_no_groups_no_advantages(name):
    assert ESTIMATORS[name].function([]) == []


def test_scopes_and_readers_of_history():
    assert {name for name, entry in ESTIMATORS.items() if entry.scope == "group"} == {
        "grpo",
        "dr_grpo",
        "rloo",
        "maxrl",
    }
    assert {name for name, entry in ESTIMATORS.items() if entry.reads_history} == {"spo", "shrunk_baseline"}


def test_adapters_by_hand():
    groups = [Compared([1.0, 0.0]), Compared([1.0])]
    assert per_group(dr_grpo).function(groups) == [[0.5, -0.5], [0.0]]
    third = 1 / 3
    assert over_batch(dr_grpo).function(groups) == [pytest.approx([third, -2 * third]), pytest.approx([third])]
    assert (per_group(dr_grpo).scope, over_batch(dr_grpo).scope) == ("group", "batch")


def test_gpg_by_hand():
    # 4 groups, 2 without signal: the others count double
    solved, hopeless = Compared([1, 1, 1]), Compared([0])
    rows = advantages("gpg", Compared([1, 0, 0, 0]), solved, Compared([1, 0]), hopeless)
    assert rows == [pytest.approx([1.5, -0.5, -0.5, -0.5]), [0.0] * 3, pytest.approx([1, -1]), [0.0]]
    assert advantages("gpg", solved, hopeless) == [[0.0] * 3, [0.0]]
    assert advantages("gpg", Compared([1, 0]), Compared([1, 0, 0])) == [dr_grpo([1, 0]), dr_grpo([1, 0, 0])]


def test_reinforce_pp_baseline_by_hand():
    # centred: .5 -.5 | 2/3 -1/3 -1/3 | 0 0; sum of squares .5 + 2/3 = 7/6 over 7 rollouts: std sqrt(1/6)
    rows = advantages("reinforce_pp_baseline", Compared([1, 0]), Compared([1, 0, 0]), Compared([1, 1]))
    unit = math.sqrt(1 / 6)
    assert rows[0] == pytest.approx([0.5 / unit, -0.5 / unit])
    assert rows[1] == pytest.approx([2 / 3 / unit, -1 / 3 / unit, -1 / 3 / unit])
    assert rows[2] == [0.0, 0.0]


def test_reinforce_pp_baseline_of_single_rollouts_or_equal_rewards_is_exactly_zero():
    assert advantages("reinforce_pp_baseline", Compared([1]), Compared([0])) == [[0.0], [0.0]]
    assert advantages("reinforce_pp_baseline", Compared([0.1] * 3), Compared([0.7] * 10)) == [[0.0] * 3, [0.0] * 10]


def test_spo_by_hand():
    # baselines 3/4 and 1/4: surprises .25, -.25, and .75; mean .25, deviations 0, -.5, .5, std sqrt(1/6)
    rows = advantages("spo", Compared([1], 3, 1), Compared([0, 1], 0.25, 0.75))
    assert flat(rows) == pytest.approx([0, -0.5 * math.sqrt(6), 0.5 * math.sqrt(6)], abs=1e-6)


def test_spo_of_unknown_prompts_is_batch_standardize():
    rows = advantages("spo", Compared([1, 0]), Compared([1]), Compared([1]))
    assert flat(rows) == pytest.approx(batch_standardize([1, 0, 1, 1]))


def test_spo_gives_exact_zeros_where_every_rollout_surprises_equally():
    assert advantages("spo", Compared([1], 1, 1), Compared([1, 1], 3, 3)) == [[0.0], [0.0, 0.0]]
    # 1 - .7 and .3 - 0 differ by rounding, which is no signal
    assert max(map(abs, flat(advantages("spo", Compared([1], 7, 3), Compared([0.3], 0, 1))))) < 1e-7


def test_shrunk_baselines_by_hand():
    # m = 1/2; k = 2: (3 + 1)/(4 + 2) and (0 + 1)/(0 + 2)
    groups = [Compared([1, 0], 3, 1), Compared([0, 1])]
    assert posterior_means(groups, 2.0) == pytest.approx([2 / 3, 1 / 2])
    assert posterior_means(groups, 0.0) == pytest.approx([3 / 4, 1 / 2])
    # x = r - v: 1/3 -2/3 -1/2 1/2, mean -1/12; mean square (1/9 + 4/9 + 1/4 + 1/4) / 4 = 19/72
    unit = math.sqrt(19 / 72)
    expected = [5 / 12 / unit, -7 / 12 / unit, -5 / 12 / unit, 7 / 12 / unit]
    assert flat(shrunk_baseline(2.0).function(groups)) == pytest.approx(expected)


@settings(deadline=None)
@given(groups=batches)
def test_a_prior_without_end_is_the_batch_mean(groups):
    everything = [reward for group in groups for reward in group.rewards]
    assert flat(shrunk_baseline(1e15).function(groups)) == pytest.approx(batch_standardize(everything), abs=1e-4)


@settings(deadline=None)
@given(groups=batches)
def test_without_a_prior_the_baseline_is_the_prompts_own_record(groups):
    for group, baseline in zip(groups, posterior_means(groups, 0.0), strict=True):
        if group.successes + group.failures > 0:
            assert baseline == pytest.approx(group.successes / (group.successes + group.failures))


@settings(deadline=None)
@given(groups=batches, strength=st.floats(0, 100))
def test_shrunk_advantages_are_bounded_and_no_worse_for_a_better_rollout(groups, strength):
    rows = shrunk_baseline(strength).function(groups)
    bound = math.sqrt(sum(len(row) for row in rows))
    assert all(abs(value) <= bound * (1 + 1e-9) for value in flat(rows))
    for group, row in zip(groups, rows, strict=True):
        assert [a for _, a in sorted(zip(group.rewards, row, strict=True))] == sorted(row)


def test_a_batch_that_surprises_everywhere_alike_has_no_direction():
    rows = shrunk_baseline(0.0).function([Compared([1], 9, 1), Compared([1], 9, 1), Compared([1], 90, 10)])
    assert flat(rows) == pytest.approx([0, 0, 0])


def test_nearly_equal_surprises_are_not_blown_up():
    # x = .1 .1 .09, in units of their root mean square and not of their deviation from each other
    rows = shrunk_baseline(0.0).function([Compared([1], 9, 1), Compared([1], 9, 1), Compared([1], 91, 9)])
    assert max(map(abs, flat(rows))) < 0.1


def test_rewards_that_are_their_baselines_give_exact_zeros():
    assert shrunk_baseline(4.0).function([Compared([1, 1]), Compared([1])]) == [[0.0, 0.0], [0.0]]


@pytest.mark.parametrize("strength", [0.0, 1.0, 4.0, 1e9])
def test_the_shrunk_baseline_scales_a_prompts_gradient_by_its_share_of_the_mean_and_never_turns_it(strength):
    """Three Bernoulli prompts of one logit each; E[(r - v) score] against (1 - w / M) p q, over all 8 outcomes."""
    chances, records = [0.3, 0.6, 0.9], [(1.0, 3.0), (0.5, 0.5), (0.0, 0.0)]
    gradients = [0.0] * 3
    for outcome in product([1.0, 0.0], repeat=3):
        weight = math.prod(p if reward else 1 - p for p, reward in zip(chances, outcome, strict=True))
        baselines = posterior_means([Compared([r], *c) for r, c in zip(outcome, records, strict=True)], strength)
        for i, (p, reward, baseline) in enumerate(zip(chances, outcome, baselines, strict=True)):
            gradients[i] += weight * (reward - baseline) * (1 - p if reward else -p)
    shares = [strength / (sum(c) + strength) if sum(c) + strength else 1.0 for c in records]
    expected = [(1 - share / 3) * p * (1 - p) for share, p in zip(shares, chances, strict=True)]
    assert gradients == pytest.approx(expected)


@pytest.mark.parametrize("strength", [-1.0, math.inf, math.nan])
def test_a_strength_that_weighs_nothing_sensible_is_refused(strength):
    with pytest.raises(UserError, match=f"weighs the batch's mean as {strength} visits; give a finite number"):
        shrunk_baseline(strength)
