"""The trainer and the engine over one real policy: they score alike, at any temperature."""

from dataclasses import replace

import pytest
import torch
from trainer_fakes import assert_close, flat, gradients_by_hand, gradients_of_update, weights_of

from rekindle.engines.engine import SamplingRequest
from rekindle.engines.torch_engine import TorchEngine
from rekindle.learning.aggregation import sequence_mean
from rekindle.learning.credit import Credit, OffTemperature
from rekindle.learning.estimators import ESTIMATORS
from rekindle.learning.samples import build_samples
from rekindle.types import Group, GroupRequest, Rollout, outcome_of
from rekindle.warm_starts.tiny_model import build_tiny

TEMPERATURES = (0.7, 1.0, 1.3)


def policy():
    """Two layers, with weights large enough for peaked distributions."""
    made = build_tiny(layers=2, hidden_size=32, heads=2, kv_heads=1, intermediate_size=48, max_length=32)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in made.model.parameters():
            if parameter.ndim == 2:
                parameter.copy_(0.4 * torch.randn(parameter.shape, generator=generator))
    return made


@pytest.fixture(scope="module")
def groups():
    """Prompts of 2 to 5 letters at three temperatures, four rollouts each; every other one is rewarded."""
    requests = [
        SamplingRequest(list(range(2 + key % 4)), n=4, temperature=TEMPERATURES[key % 3], max_new_tokens=9, seed=key)
        for key in range(9)
    ]
    sampled = dict(TorchEngine(policy()).generate(requests))
    return [group(key, request.prompt_ids, request.temperature, sampled[key]) for key, request in enumerate(requests)]


def group(key, prompt, temperature, completions):
    rollouts = tuple(
        Rollout(
            token_ids=[*prompt, *one.token_ids],
            loss_mask=[False] * len(prompt) + [True] * len(one.token_ids),
            logprobs=[0.0] * len(prompt) + one.logprobs,
            reward=float((index + key) % 2),
            temperature=temperature,
        )
        for index, one in enumerate(completions)
    )
    request = GroupRequest(
        id=key, task_id=f"t{key}", row=key, n=len(rollouts), temperature=temperature, seed=0, version=0, step=1
    )
    return Group(request=request, rollouts=rollouts, outcome=outcome_of([rollout.reward for rollout in rollouts]))


def samples_of(groups, estimator="grpo", **stages):
    return build_samples(groups, Credit(ESTIMATORS[estimator], sequence_mean, **stages))


def test_engine_and_trainer_have_the_same_log_probabilities_at_any_temperature(groups):
    samples, real = samples_of(groups), policy()
    with torch.no_grad():
        scored = real.token_logprobs(samples).logprobs
        at_one = real.token_logprobs([replace(sample, temperature=1.0) for sample in samples]).logprobs
    behaviour = flat(samples, lambda one: one.logprobs).float()
    assert (scored - behaviour).abs().max() < 1e-4
    hot = torch.tensor([one.temperature != 1.0 for one in samples for _ in range(sum(one.loss_mask))])
    assert (at_one - behaviour)[hot].abs().mean() > 0.05


def test_with_the_engines_denominators_the_first_update_is_that_of_ratio_one(groups):
    samples = samples_of(groups)
    exact, stats = gradients_of_update(policy(), samples)
    engine, engine_stats = gradients_of_update(policy(), samples, old_logprobs="engine", clip_low=1e-3, clip_high=1e-3)
    assert engine_stats.clip_fraction == stats.clip_fraction == 0
    assert_close(engine, exact, 1e-3)
    real = policy()
    advantages = flat(samples, lambda one: one.advantages)
    loss = -(weights_of(samples) * advantages * real.token_logprobs(samples).logprobs).sum()
    assert_close(exact, gradients_by_hand(real, loss), 1e-4)


def test_importance_weights_of_real_rollouts(groups):
    samples = samples_of(groups, off_temperature=OffTemperature("importance", 1.0, 1.5))
    real = policy()
    logprobs = real.token_logprobs(samples).logprobs
    caps = flat(samples, lambda one: [one.importance_cap] * len(one.loss_mask))
    ratio = torch.exp(logprobs.detach() - flat(samples, lambda one: one.logprobs))
    weights = torch.where(caps > 0, ratio.clamp(max=1.5), torch.ones_like(ratio))
    advantages = flat(samples, lambda one: one.advantages)
    loss = -(weights * weights_of(samples) * advantages * logprobs).sum()
    assert_close(gradients_of_update(policy(), samples)[0], gradients_by_hand(real, loss), 1e-4)


@pytest.mark.parametrize("keep_ratio", [0.1, 1.0])
def test_single_rollouts_and_their_filter_do_not_see_the_split(groups, keep_ratio):
    alone = [
        Group(
            request=replace(each.request, id=10 * key + index, n=1),
            rollouts=(rollout,),
            outcome=outcome_of([rollout.reward]),
        )
        for key, each in enumerate(groups)
        for index, rollout in enumerate(each.rollouts)
    ]
    samples = samples_of(alone, "c_rf", negative_keep_ratio=keep_ratio)
    whole, stats = gradients_of_update(policy(), samples, clip_high=10.0)
    for budget in (1, 40, 150):
        parts, part_stats = gradients_of_update(policy(), samples, clip_high=10.0, microbatch_tokens=budget)
        assert part_stats.microbatches > stats.microbatches
        assert part_stats.loss == pytest.approx(stats.loss, rel=1e-5, abs=1e-6)
        assert_close(parts, whole, 1e-4)
