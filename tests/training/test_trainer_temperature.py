"""Rollouts sampled at other temperatures than the base: each mode against its closed form."""

from dataclasses import replace

import pytest
import torch
from trainer_fakes import (
    BigramPolicy,
    assert_close,
    flat,
    gradients_by_hand,
    gradients_of_update,
    make_samples,
    settings,
    weights_of,
)

from rekindle.learning.aggregation import token_mean
from rekindle.learning.credit import Credit, OffTemperature
from rekindle.learning.estimators import ESTIMATORS
from rekindle.learning.samples import build_samples
from rekindle.training.trainer import Trainer
from rekindle.types import Group, GroupRequest, Outcome, Rollout

BASE, CAP = 1.0, 1.1
HEATS = (0.7, 1.0, 1.3)


def at_temperatures(samples, *temperatures):
    return [replace(one, temperature=temperatures[index % len(temperatures)]) for index, one in enumerate(samples)]


def reinforce(policy, samples, weights=1.0):
    """- sum of weight * A * log pi, at each sample's temperature."""
    advantages = flat(samples, lambda one: one.advantages)
    return -(weights * weights_of(samples) * advantages * policy.token_logprobs(samples).logprobs).sum()


def off_temperature_samples(mode, cap=CAP):
    """Groups at 0.7, 1.0 and 1.3, with the behaviour log-probabilities that the policy has there."""
    groups = []
    for key, temperature in enumerate(HEATS):
        rows = [replace(sample, temperature=temperature) for sample in make_samples(seed=key, prompts=1, rows=4)]
        rollouts = []
        for index, row in enumerate(rows):
            with torch.no_grad():
                sampled = BigramPolicy().token_logprobs([row]).logprobs.tolist()
            behaviour = [0.0, 0.0, *sampled]
            rollouts.append(
                Rollout(
                    token_ids=row.token_ids,
                    loss_mask=row.loss_mask,
                    logprobs=behaviour,
                    reward=float(index % 2),
                    temperature=temperature,
                )
            )
        request = GroupRequest(
            id=key, task_id=f"t{key}", row=key, n=4, temperature=temperature, seed=0, version=0, step=1
        )
        groups.append(Group(request=request, rollouts=tuple(rollouts), outcome=Outcome.MIXED))
    rule = None if mode == "tempered" else OffTemperature(mode, BASE, cap)
    return build_samples(groups, Credit(ESTIMATORS["grpo"], token_mean, off_temperature=rule))


@pytest.mark.parametrize("temperature", HEATS)
def test_the_ratio_is_exactly_one_before_the_first_update_at_any_temperature(temperature):
    samples = at_temperatures(make_samples(), temperature)
    policy = BigramPolicy()
    expected = gradients_by_hand(policy, reinforce(policy, samples))
    mine, stats = gradients_of_update(BigramPolicy(), samples, clip_low=1e-12, clip_high=1e-12)
    assert stats.clip_fraction == 0
    assert stats.loss == pytest.approx(-(weights_of(samples) * flat(samples, lambda one: one.advantages)).sum().item())
    assert_close(mine, expected, 1e-6)


def test_temperatures_travel_with_each_row_of_a_microbatch():
    samples = at_temperatures(make_samples(), *HEATS)
    policy = BigramPolicy()
    expected = gradients_by_hand(policy, reinforce(policy, samples))
    for budget in (1, 30, 10_000):
        assert_close(gradients_of_update(BigramPolicy(), samples, microbatch_tokens=budget)[0], expected, 1e-6)
    cold = gradients_of_update(BigramPolicy(), at_temperatures(samples, 1.0))[0]
    assert (cold["mixing"] - expected["mixing"]).norm() > 0.1 * expected["mixing"].norm()


@pytest.mark.parametrize("budget", [1, 30, 10_000])
@pytest.mark.parametrize("cap", [0.9, CAP, 50.0])
def test_importance_weighs_each_token_of_hot_rollouts_by_the_bounded_ratio(cap, budget):
    samples = off_temperature_samples("importance", cap)
    policy = BigramPolicy()
    at_base = policy.token_logprobs(samples).logprobs.detach()
    hot = torch.tensor([one.importance_cap > 0 for one in samples for _ in range(sum(one.loss_mask))])
    ratio = torch.exp(at_base - flat(samples, lambda one: one.logprobs))
    weights = torch.where(hot, ratio.clamp(max=cap), torch.ones_like(ratio))
    assert {one.temperature for one in samples} == {BASE}
    assert hot.sum() not in (0, len(hot))
    if cap < 50:
        assert 0 < (ratio[hot] > cap).sum() < hot.sum()
    expected = gradients_by_hand(policy, reinforce(policy, samples, weights))
    assert_close(gradients_of_update(BigramPolicy(), samples, microbatch_tokens=budget)[0], expected, 1e-6)


def test_importance_weights_stay_those_of_the_policy_that_began_the_update():
    """Two epochs with recomputed denominators, written out: PPO's ratio moves, the weight does not."""
    samples = off_temperature_samples("importance")
    policy, start = BigramPolicy(), BigramPolicy().token_logprobs(samples).logprobs.detach()
    hot = torch.tensor([one.importance_cap > 0 for one in samples for _ in range(sum(one.loss_mask))])
    behaviour = flat(samples, lambda one: one.logprobs)
    weights = torch.where(hot, torch.exp(start - behaviour).clamp(max=CAP), torch.ones_like(start))
    optimizer = torch.optim.AdamW(policy.model.parameters(), lr=1e-2, weight_decay=0.0)
    for _ in range(2):
        optimizer.zero_grad()
        ratio = torch.exp(policy.token_logprobs(samples).logprobs - start)
        advantages = flat(samples, lambda one: one.advantages)
        losses = -torch.minimum(ratio * advantages, ratio.clamp(0.8, 1.2) * advantages)
        (weights * weights_of(samples) * losses).sum().backward()
        optimizer.step()
    mine = BigramPolicy()
    options = settings(epochs=2, old_logprobs="recompute", weight_decay=0.0, grad_clip=1e9)
    Trainer(mine, options).update(samples, 0)
    assert_close(mine.weights(), policy.weights(), 1e-6)


def test_ignore_trains_as_if_everything_had_been_sampled_at_the_base_temperature():
    samples = off_temperature_samples("ignore")
    pretended = at_temperatures(off_temperature_samples("tempered"), BASE)
    mine, others = (gradients_of_update(BigramPolicy(), batch)[0] for batch in (samples, pretended))
    assert all(torch.equal(mine[name], others[name]) for name in mine)
    policy = BigramPolicy()
    assert_close(mine, gradients_by_hand(policy, reinforce(policy, samples)), 1e-6)


@pytest.mark.parametrize("mode", ["importance", "ignore"])
def test_a_mode_changes_no_bit_where_nothing_is_hot(mode):
    cold = [one for one in off_temperature_samples("tempered") if one.temperature == BASE]
    under_mode = [one for one in off_temperature_samples(mode) if one.prompt_key == cold[0].prompt_key]
    assert [replace(one, weight=0) for one in under_mode] == [replace(one, weight=0) for one in cold]


def test_the_modes_differ():
    gradients = [
        gradients_of_update(BigramPolicy(), off_temperature_samples(mode))[0]["mixing"]
        for mode in ("tempered", "importance", "ignore")
    ]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert (gradients[one] - gradients[other]).norm() > 1e-2 * gradients[one].norm()
