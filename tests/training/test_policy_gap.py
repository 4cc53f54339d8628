"""The gap between engine and trainer: measured before the first step, and corrected by truncated importance weights."""

import math
import random
from dataclasses import replace
from typing import Any

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

from rekindle.records.step_metrics import step_metrics
from rekindle.training.policy_gap import PolicyGap
from rekindle.training.trainer import Trainer


def sampled_by(policy, samples, shift=0.0):
    """The samples with the behaviour log-probabilities that the policy has, plus a shift."""
    with torch.no_grad():
        scored = [policy.token_logprobs([sample]).logprobs.tolist() for sample in samples]
    return [
        replace(sample, logprobs=[0.0, 0.0, *(value + shift for value in values)])
        for sample, values in zip(samples, scored, strict=True)
    ]


@pytest.mark.parametrize("budget", [1, 20, 10_000])
def test_an_engine_that_scores_as_the_trainer_has_no_gap(budget):
    samples = sampled_by(BigramPolicy(), make_samples())
    stats = Trainer(BigramPolicy(), settings(microbatch_tokens=budget)).update(samples, 0)
    assert stats.gap == pytest.approx(0, abs=1e-15)
    assert stats.gap_outside == 0


@pytest.mark.parametrize("budget", [1, 20, 10_000])
@pytest.mark.parametrize("options", [{}, {"old_logprobs": "engine"}, {"old_logprobs": "recompute", "epochs": 3}])
def test_the_gap_is_the_mean_difference_before_the_first_step(budget, options):
    noise = random.Random(0)
    samples = [
        replace(one, logprobs=[0.0, 0.0, *(value + noise.gauss(0, 0.2) for value in one.logprobs[2:])])
        for one in sampled_by(BigramPolicy(), make_samples())
    ]
    difference = BigramPolicy().token_logprobs(samples).logprobs - flat(samples, lambda one: one.logprobs)
    stats = Trainer(BigramPolicy(), settings(microbatch_tokens=budget, **options)).update(samples, 0)
    assert stats.gap == pytest.approx(difference.abs().mean().item())
    ratio = difference.exp()
    assert stats.gap_outside == pytest.approx(((ratio < 0.8) | (ratio > 1.2)).double().mean().item())
    assert 0 < (stats.gap_outside or 0) < 1


@pytest.mark.parametrize(("shift", "outside"), [(0.17, 0.0), (0.19, 0.0), (0.23, 1.0), (-0.18, 0.0), (-0.19, 1.0)])
def test_ratios_outside_of_the_range_are_counted(shift, outside):
    """Bounds log 0.8 = -0.223 and log 1.2 = 0.182 of trainer less engine."""
    samples = sampled_by(BigramPolicy(), make_samples(), shift)
    stats = Trainer(BigramPolicy(), settings()).update(samples, 0)
    assert (stats.gap, stats.gap_outside) == (pytest.approx(abs(shift)), outside)


def test_only_the_first_of_several_minibatches_is_compared():
    """Later ones are scored by weights that did not sample them."""
    samples = sampled_by(BigramPolicy(), make_samples(prompts=6))
    stats = Trainer(BigramPolicy(), settings(minibatches=3, epochs=2)).update(samples, 0)
    assert stats.gap == pytest.approx(0, abs=1e-15)


def test_samples_of_other_weights_or_another_temperature_are_left_out():
    (row,) = sampled_by(BigramPolicy(), make_samples(prompts=1, rows=1), 0.5)
    logprobs = BigramPolicy().token_logprobs([row]).logprobs
    for other in (replace(row, version=1), replace(row, behaviour_temperature=2.0)):
        gap = PolicyGap(version=0)
        gap.add([other], logprobs)
        assert gap.measured() == (None, None)
        gap.add([other, row], torch.cat([logprobs, logprobs]))
        assert gap.measured() == (pytest.approx(0.5), 1.0)
    same = PolicyGap(version=0)
    same.add([replace(row, behaviour_temperature=row.temperature)], logprobs)
    assert same.measured()[0] == pytest.approx(0.5)


def test_trained_tool_tokens_were_not_sampled_by_any_engine():
    stats = Trainer(BigramPolicy(), settings(tool_tokens="trained")).update(make_samples(), 0)
    assert (stats.gap, stats.gap_outside) == (None, None)


def test_the_metrics_of_every_step_have_the_gap():
    stats = Trainer(BigramPolicy(), settings()).update(sampled_by(BigramPolicy(), make_samples(), 0.1), 0)
    metrics = step_metrics([], [], stats)
    assert metrics["policy_gap"] == pytest.approx(0.1)
    assert metrics["policy_gap/outside"] == 0
    nothing = step_metrics([], [], None)
    assert (nothing["policy_gap"], nothing["policy_gap/outside"]) == (None, None)


# -- truncated importance weights -------------------------------------------------------------------------------------


@pytest.mark.parametrize("budget", [1, 20, 10_000])
@pytest.mark.parametrize("cap", [0.9, 2.0, 1e6])
def test_truncated_weights_correct_for_the_engine(cap, budget):
    """Each token's loss times min(pi_trainer / pi_engine, cap), without gradient."""
    samples = [replace(sample, importance_cap=cap) for sample in make_samples()]
    policy = BigramPolicy()
    scored = policy.token_logprobs(samples).logprobs
    ratio = torch.exp(scored.detach() - flat(samples, lambda one: one.logprobs))
    if cap < 1e6:
        assert 0 < (ratio > cap).sum() < len(ratio)
    weights = weights_of(samples) * ratio.clamp(max=cap)
    loss = -(weights * flat(samples, lambda one: one.advantages) * scored).sum()
    mine = gradients_of_update(BigramPolicy(), samples, microbatch_tokens=budget)[0]
    assert_close(mine, gradients_by_hand(policy, loss), 1e-9)


def test_an_engine_without_a_gap_has_weights_of_one():
    samples = sampled_by(BigramPolicy(), make_samples())
    plain = gradients_of_update(BigramPolicy(), samples)[0]
    weighted = gradients_of_update(BigramPolicy(), [replace(one, importance_cap=2.0) for one in samples])[0]
    assert_close(weighted, plain, 1e-12)


def test_the_weights_are_those_of_the_policy_that_sampled():
    """With recomputed denominators they stay the same over the optimizer steps, while PPO's ratio moves."""
    samples = [replace(sample, importance_cap=2.0) for sample in sampled_by(BigramPolicy(), make_samples(), -0.3)]
    options: dict[str, Any] = {"old_logprobs": "recompute", "epochs": 2, "weight_decay": 0.0, "grad_clip": 1e9}
    mine = BigramPolicy()
    Trainer(mine, settings(**options)).update(samples, 0)
    heavier = [replace(one, importance_cap=0.0, weight=one.weight * math.exp(0.3)) for one in samples]
    other = BigramPolicy()
    Trainer(other, settings(**options)).update(heavier, 0)
    assert_close(mine.weights(), other.weights(), 1e-9)
