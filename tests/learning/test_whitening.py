"""Whitening over what the loss is a mean of: as a whole, a batch is pushed neither up nor down."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rollout_cases import group, rollout, samples_of

from rekindle.config.tables import Config
from rekindle.learning.aggregation import constant_length, group_token_mean, sequence_mean, token_mean
from rekindle.learning.credit import Credit
from rekindle.learning.estimators import ESTIMATORS, Compared, batch_standardize
from rekindle.learning.samples import build_samples
from rekindle.methods.credit import build_credit
from rekindle.recipes import RECIPES

AGGREGATIONS = [token_mean, group_token_mean, sequence_mean, constant_length(50)]
OF_THE_BATCH = ["batch_standardize", "reinforce_pp_baseline", "spo", "shrunk_baseline", "batch_centred"]
"""Estimators with a mean of the batch in them."""

one_rollout = st.tuples(st.sampled_from([0.0, 1.0]), st.integers(1, 40))
batches = st.lists(
    st.tuples(st.lists(one_rollout, min_size=1, max_size=5), st.tuples(st.floats(0, 20), st.floats(0, 20))),
    min_size=1,
    max_size=6,
)


def played(batch):
    return [
        group(key, *(rollout(reward, length) for reward, length in rollouts), beta=beta)
        for key, (rollouts, beta) in enumerate(batch)
    ]


def push(samples):
    """Sum of the weighted advantages of all tokens, and the sum of their sizes."""
    terms = [sample.weight * advantage for sample in samples for advantage in sample.advantages]
    return math.fsum(terms), math.fsum(map(abs, terms))


@pytest.mark.parametrize("estimator", OF_THE_BATCH)
@settings(deadline=None, max_examples=60)
@given(batch=batches, aggregation=st.sampled_from(AGGREGATIONS))
def test_the_mean_of_the_advantages_that_enter_the_loss_is_zero(estimator, aggregation, batch):
    net, size = push(samples_of(played(batch), estimator, aggregation))
    assert abs(net) <= 1e-6 * size + 1e-12


@settings(deadline=None, max_examples=60)
@given(batch=batches, aggregation=st.sampled_from(AGGREGATIONS))
def test_both_sides_of_c_rf_have_the_same_weight_in_the_loss(aggregation, batch):
    estimator = ESTIMATORS["c_rf"].tuned({"split": "success", "count_over": "batch"})
    net, size = push(samples_of(played(batch), estimator, aggregation))
    one_sided = len({reward for rollouts, _ in batch for reward, _ in rollouts}) == 1
    assert abs(net) == pytest.approx(size if one_sided else 0.0, abs=1e-9 * size)


TOUCHED = ["reinforce_pp", "reinforce_pp_baseline", "reinforce_pp_ntf", "spo", "prompt_baseline"]


@pytest.mark.parametrize("recipe", TOUCHED)
def test_long_failures_push_no_recipe_down(recipe):
    """Failures of 30 tokens beside successes of 5, before the token filter: the net push was negative."""
    config = RECIPES[recipe]()
    unfiltered = {**config.advantage.model_dump(), "negative_keep_ratio": 1.0}
    credit = build_credit(Config.model_validate({**config.model_dump(), "advantage": unfiltered}))
    size = config.train.group_size
    batch = [
        ([(float((key + i) % 3 == 0), 5 if (key + i) % 3 == 0 else 30) for i in range(size)], (1.0 + key % 4, 3.0))
        for key in range(12)
    ]
    net, total = push(build_samples(played(batch), credit))
    assert total > 0
    assert abs(net) < 1e-6 * total


def test_over_tokens_by_hand():
    # rewards 1 0 of 1 and 3 tokens: mean 1/4, variance 1/4 (3/4)^2 + 3/4 (1/4)^2 = 3/16
    assert batch_standardize([1, 0], [1, 3]) == pytest.approx([math.sqrt(3), -1 / math.sqrt(3)])
    # N = 4 tokens: the sample variance is 3/16 x 4/3 = 1/4
    assert batch_standardize([1, 0], [1, 3], "sample") == pytest.approx([1.5, -0.5])
    assert batch_standardize([1, 0, 0, 0], None, "sample") == pytest.approx([1.5, -0.5, -0.5, -0.5])


@settings(deadline=None, max_examples=40)
@given(batch=batches)
def test_over_tokens_is_over_rollouts_with_every_rollout_repeated_for_its_tokens(batch):
    rewards = [reward for rollouts, _ in batch for reward, _ in rollouts]
    lengths = [length for rollouts, _ in batch for _, length in rollouts]
    for deviation in ("population", "sample"):
        repeated = batch_standardize(
            [reward for reward, length in zip(rewards, lengths, strict=True) for _ in range(length)], None, deviation
        )
        firsts = [repeated[sum(lengths[:index])] for index in range(len(lengths))]
        assert batch_standardize(rewards, lengths, deviation) == pytest.approx(firsts)


def test_a_group_without_signal_balances_the_others_in_a_mean_over_tokens_only():
    """Centred 1/2 of 1 token, -1/2 of 5, and 0 of 2: the mean over 8 tokens is -1/4, over rollouts 0."""
    groups = played([([(1.0, 1), (0.0, 5)], (0, 0)), ([(1.0, 2)], (0, 0))])
    per_rollout = [sample.advantages[-1] for sample in samples_of(groups, "reinforce_pp_baseline", sequence_mean)]
    assert per_rollout == [pytest.approx(math.sqrt(1.5)), pytest.approx(-math.sqrt(1.5)), 0.0]
    per_token = [sample.advantages[-1] for sample in samples_of(groups, "reinforce_pp_baseline", token_mean)]
    # squares about -1/4: (3/4)^2 + 5 (1/4)^2 + 2 (1/4)^2 = 1 over 8 tokens
    assert per_token == pytest.approx([0.75 * math.sqrt(8), -0.25 * math.sqrt(8), 0.25 * math.sqrt(8)])


@pytest.mark.parametrize("name", ["grpo", "batch_standardize", "reinforce_pp_baseline", "spo"])
def test_the_sample_deviation_shrinks_advantages_by_one_factor(name):
    groups = [Compared([1.0, 0.0, 0.0, 1.0, 0.0], 1.0, 2.0)]
    population, sample = (
        ESTIMATORS[name].tuned({"deviation": deviation}).function(groups)[0] for deviation in ("population", "sample")
    )
    assert sample == pytest.approx([math.sqrt(4 / 5) * value for value in population])
    assert ESTIMATORS[name].function(groups)[0] == population, "the population's is the default"


@pytest.mark.parametrize("name", ["grpo", "batch_standardize", "reinforce_pp_baseline", "spo"])
def test_epsilon_is_added_to_the_standard_deviation(name):
    estimator = ESTIMATORS[name]
    assert "epsilon" in estimator.parameters
    groups = [Compared([1.0, 0.0, 0.0, 1.0, 0.0], 1.0, 2.0)]
    exact, default, half = (
        estimator.tuned({"epsilon": epsilon}).function(groups)[0] for epsilon in (1e-300, 1e-8, 0.5)
    )
    spread = math.sqrt(0.24)  # of three zeros and two ones, centred on any baseline
    assert half == pytest.approx([value * spread / (spread + 0.5) for value in exact])
    assert estimator.function(groups)[0] == default, "off means off"
    even = [Compared([1.0, 1.0], 1.0, 2.0)]
    assert estimator.tuned({"epsilon": 1e-300}).function(even)[0] == [0.0, 0.0]


def test_the_settings_of_trl_give_its_advantages():
    rewards = [1.0, 0.0, 0.0, 0.0]
    trl = ESTIMATORS["grpo"].tuned({"deviation": "sample", "epsilon": 1e-4}).function([Compared(rewards)])[0]
    assert trl == pytest.approx([0.75 / 0.5001, *[-0.25 / 0.5001] * 3], abs=1e-12)  # variance 3/4 / 3 = 1/4


@settings(deadline=None, max_examples=60)
@given(
    batch=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 4)), min_size=1, max_size=12),
    aggregation=st.sampled_from(AGGREGATIONS),
)
def test_units_are_weights_times_lengths(aggregation, batch):
    lengths, groups = zip(*batch, strict=True)
    shares = [w * n for w, n in zip(aggregation(lengths, groups), lengths, strict=True)]
    units = aggregation.units(lengths, groups)
    assert [n == 0 for n in lengths] == [unit == 0 for unit in units]
    if any(lengths):
        scale = sum(units) / sum(shares)
        assert units == pytest.approx([scale * share for share in shares])


def test_a_subset_is_whitened_among_itself():
    """The rollouts left out by the subset do not enter the loss, so they do not enter its mean."""
    from rekindle.learning.subsets import Subset

    first_two = Subset(lambda rewards: [0, 1], "selected")
    groups = played([([(1.0, 3), (0.0, 9), (1.0, 50)], (0, 0)), ([(0.0, 2), (1.0, 1), (0.0, 7)], (0, 0))])
    samples = build_samples(groups, Credit(ESTIMATORS["batch_standardize"], token_mean, subset=first_two))
    assert len(samples) == 4
    assert push(samples)[0] == pytest.approx(0)
