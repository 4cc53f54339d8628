"""Single rollouts with negative token filtering, from rewards to gradients, against the paper's formulas in float64."""

import math
from dataclasses import replace
from itertools import compress

import pytest
import torch
from test_trainer_losses import make_groups
from trainer_fakes import BigramPolicy, assert_close, gradients_by_hand, gradients_of_update

from rekindle.config import Config, merge
from rekindle.learning.samples import build_samples
from rekindle.methods.credit import build_credit
from rekindle.recipes import RECIPES
from rekindle.training.batching import minibatches

EXACT = 1e-9
STILL = 1e-200
"""A learning rate that moves no weight, so that the gradients of several optimizer steps are all at the same point."""


def configured(recipe, **tables):
    return Config.model_validate(merge(RECIPES[recipe]().model_dump(), tables))


def real_rewards(groups):
    """Rewards in steps of an eighth instead of 0 and 1."""
    changed = []
    for key, group in enumerate(groups):
        rollouts = tuple(replace(one, reward=(key * 5 % 9) / 8) for one in group.rollouts)
        changed.append(replace(group, rollouts=rollouts))
    return changed


def update(config, groups, **changes):
    """Gradients and statistics of one update as configured; behaviour log-probabilities are the denominators."""
    samples = build_samples(groups, build_credit(config))
    loss = config.loss.model_dump(exclude={"old_logprobs"})
    options = {"minibatches": config.optimizer.minibatches, "learning_rate": STILL, "old_logprobs": "engine"}
    return samples, *gradients_of_update(BigramPolicy(), samples, **{**loss, **options, **changes})


class Written:
    """The terms of the paper's losses, per rollout."""

    def __init__(self, policy, groups, samples, kappa):
        self.kappa = kappa
        self.rewards = [group.rollouts[0].reward for group in groups]
        self.behaviour = [
            torch.tensor(list(compress(sample.logprobs, sample.loss_mask)), dtype=torch.float64) for sample in samples
        ]
        self.ratios = [
            torch.exp(policy.token_logprobs([sample]).logprobs - behaviour)
            for sample, behaviour in zip(samples, self.behaviour, strict=True)
        ]

    def up(self, index):
        """l+ = (1/|o|) sum of min(rho, 1 + 10)."""
        return self.ratios[index].clamp(max=11.0).mean()

    def down(self, index):
        """l- = (1/|o|) sum over the kept tokens of max(rho, 1 - 0.2)."""
        ratio, behaviour = self.ratios[index], self.behaviour[index]
        count = max(1, math.ceil(round(self.kappa * len(ratio), 9)))
        kept = behaviour.argsort(stable=True)[:count]
        return ratio[kept].clamp(min=0.8).sum() / len(ratio)


def mean(terms):
    return torch.stack(terms).mean()


def literal_c_rf(written, members, positive, beta=1.0):
    """L = -1/2 [mean over P of l+ - beta mean over N of l-], P and N of the members."""
    ups = [written.up(index) for index in members if positive(written.rewards[index])]
    downs = [written.down(index) for index in members if not positive(written.rewards[index])]
    if not downs:
        return -mean(ups)
    if not ups:
        return beta * mean(downs)
    return -0.5 * (mean(ups) - beta * mean(downs))


def check(config, groups, losses_of):
    """The update's gradients and mean loss are those of the losses written out, one per optimizer step."""
    policy = BigramPolicy()
    samples, gradients, stats = update(config, groups)
    written = Written(policy, groups, samples, config.advantage.negative_keep_ratio)
    losses = losses_of(written, samples)
    assert stats.optimizer_steps == len(losses)
    assert abs(stats.loss - sum(losses).item() / len(losses)) < EXACT
    assert_close(gradients, gradients_by_hand(policy, sum(losses)), EXACT)


def dealt(config, samples):
    return [members for members, _ in minibatches(samples, config.optimizer.minibatches, (0, 0, 0))]


@pytest.mark.parametrize("parts", [1, 4])
@pytest.mark.parametrize("beta", [1.0, 0.25, 0.0])
def test_c_rf_counts_its_sides_in_every_minibatch(parts, beta):
    advantage = {"negative_scale": beta} | ({"negative_keep_ratio": 1.0} if beta == 0 else {})
    config = configured("c_rf_ntf", optimizer={"minibatches": parts}, advantage=advantage)
    check(
        config,
        make_groups([1] * 24, seed=3),
        lambda written, samples: [
            literal_c_rf(written, members, lambda reward: reward > 0.5, beta) for members in dealt(config, samples)
        ],
    )


def test_a_minibatch_with_one_side_only_has_coefficient_one():
    groups = make_groups([1] * 12, seed=3)
    groups = [
        replace(group, rollouts=(replace(group.rollouts[0], reward=float(key in {1, 2})),))
        for key, group in enumerate(groups)
    ]
    config = configured("c_rf_ntf", optimizer={"minibatches": 6})
    sided = [
        {groups[index].rollouts[0].reward for index in members}
        for members in dealt(config, build_samples(groups, build_credit(config)))
    ]
    assert {0.0} in sided
    assert {0.0, 1.0} in sided
    check(
        config,
        groups,
        lambda written, samples: [
            literal_c_rf(written, members, lambda reward: reward > 0.5) for members in dealt(config, samples)
        ],
    )


def test_counted_over_the_batch_by_option():
    """A+ = M / 2P and A- = -M / 2N of the batch, in minibatches whose sides need not balance."""
    config = configured("c_rf_ntf", optimizer={"minibatches": 4}, advantage={"count_over": "batch"})
    groups = make_groups([1] * 24, seed=3)

    def losses(written, samples):
        batch = len(samples)
        ups = sum(reward > 0.5 for reward in written.rewards)
        weight = {True: -batch / (2 * ups), False: batch / (2 * (batch - ups))}
        return [
            mean(
                [
                    weight[bool(written.rewards[i])] * (written.up(i) if written.rewards[i] else written.down(i))
                    for i in members
                ]
            )
            for members in dealt(config, samples)
        ]

    check(config, groups, losses)
    other = update(configured("c_rf_ntf", optimizer={"minibatches": 4}), groups)[1]
    assert any((other[name] - tensor).norm() > 1e-3 for name, tensor in update(config, groups)[1].items())


@pytest.mark.parametrize("parts", [1, 3])
def test_real_rewards_split_at_the_batch_mean(parts):
    config = configured(
        "c_rf_ntf",
        task={"binary_rewards": False},
        optimizer={"minibatches": parts},
        advantage={"split": "batch_mean"},
    )
    groups = real_rewards(make_groups([1] * 18, seed=4))
    centre = sum(group.rollouts[0].reward for group in groups) / len(groups)
    check(
        config,
        groups,
        lambda written, samples: [
            literal_c_rf(written, members, lambda reward: reward >= centre) for members in dealt(config, samples)
        ],
    )


@pytest.mark.parametrize("beta", [1.0, 2.0])
@pytest.mark.parametrize("parts", [1, 4])
def test_reinforce_pp_with_the_filter_is_the_papers(parts, beta):
    """A = (r - mu_B) / std_B over the generation batch, a mean per rollout, clip 0.2 and 10."""
    config = configured("reinforce_pp_ntf", optimizer={"minibatches": parts}, advantage={"negative_scale": beta})
    groups = make_groups([1] * 24, seed=6)

    def losses(written, samples):
        rewards = torch.tensor(written.rewards, dtype=torch.float64)
        advantages = (rewards - rewards.mean()) / rewards.std(correction=0)
        return [
            mean([-a * written.up(i) if (a := advantages[i]) > 0 else -beta * a * written.down(i) for i in members])
            for members in dealt(config, samples)
        ]

    policy = BigramPolicy()
    samples, gradients, stats = update(config, groups)
    literal = losses(Written(policy, groups, samples, 0.1), samples)
    rewards = torch.tensor([group.rollouts[0].reward for group in groups], dtype=torch.float64)
    with_epsilon = (1 + 1e-8 / rewards.std(correction=0)).item()  # which is added to the standard deviation
    assert abs(with_epsilon * stats.loss - sum(literal).item() / len(literal)) < EXACT
    undone = {name: with_epsilon * tensor for name, tensor in gradients.items()}
    assert_close(undone, gradients_by_hand(policy, sum(literal)), EXACT)


def test_positives_only_never_touch_a_failure():
    config = configured("c_rf_ntf", advantage={"negative_scale": 0.0, "negative_keep_ratio": 1.0})
    groups = make_groups([1] * 24, seed=3)
    samples, _, stats = update(config, groups)
    succeeded = [group.rollouts[0] for group in groups if group.rollouts[0].reward]
    assert stats.trained_tokens == sum(rollout.generated_tokens for rollout in succeeded)
    assert all(value >= 0 for sample in samples for value in sample.advantages)


@pytest.mark.parametrize("parts", [1, 4])
def test_the_sides_do_not_see_the_split_into_microbatches(parts):
    config = configured("c_rf_ntf", optimizer={"minibatches": parts})
    groups = make_groups([1] * 24, seed=3)
    whole = update(config, groups, microbatch_tokens=10_000)[1]
    for budget in (1, 13, 40):
        assert_close(update(config, groups, microbatch_tokens=budget)[1], whole, EXACT)
