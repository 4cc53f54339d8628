"""Losses, token filters and entropy-shaped advantages inside the update: closed forms, and no effect of the split."""

import random
from typing import Any

import pytest
import torch
from trainer_fakes import (
    VOCABULARY,
    BigramPolicy,
    assert_close,
    flat,
    gradients_by_hand,
    gradients_of_update,
    make_samples,
    settings,
    weights_of,
)

from rekindle.learning.aggregation import group_token_mean, sequence_mean
from rekindle.learning.credit import Credit
from rekindle.learning.estimators import ESTIMATORS
from rekindle.learning.losses import LOSSES
from rekindle.learning.samples import build_samples
from rekindle.training.batching import minibatches
from rekindle.training.trainer import Trainer
from rekindle.types import Group, GroupRequest, Outcome, Rollout, outcome_of

CLIPS = {
    "ppo_clip": {"clip_low": 0.02, "clip_high": 0.02},
    "gspo": {"clip_low": 3e-4, "clip_high": 4e-4},
    "cispo": {"clip_high": 0.02},
}
BUDGETS = (1, 13, 40, 10_000)


def make_groups(sizes, seed=0):
    """Groups of these sizes; rollouts of 1 to 9 sampled tokens in two turns, with a tool's token between them."""
    rng = random.Random(seed)
    groups = []
    for key, size in enumerate(sizes):
        rollouts = []
        for _ in range(size):
            length = rng.randint(1, 9)
            mask = [False, False] + [True] * length
            mask.insert(rng.randint(2, len(mask)), False)
            tokens = [rng.randrange(VOCABULARY) for _ in mask]
            logprobs = [-3 * rng.random() * trainable for trainable in mask]
            rollouts.append(
                Rollout(token_ids=tokens, loss_mask=mask, logprobs=logprobs, reward=float(rng.random() < 0.5))
            )
        request = GroupRequest(id=key, task_id=f"t{key}", row=key, n=size, temperature=1.0, seed=0, version=0, step=1)
        outcome = outcome_of([rollout.reward for rollout in rollouts])
        groups.append(Group(request=request, rollouts=tuple(rollouts), outcome=outcome))
    return groups


# -- losses over several optimizer steps ------------------------------------------------------------------------------


def trained(loss, samples, **changes):
    policy = BigramPolicy()
    options = {"kind": loss, "old_logprobs": "recompute", "minibatches": 3, **CLIPS[loss], **changes}
    Trainer(policy, settings(**options)).update(samples, 0)
    return policy.weights()


def test_losses_are_the_same_until_the_policy_moves_and_differ_then():
    samples = make_samples(prompts=6)
    for steps, same in ((1, True), (3, False)):
        weights = [trained(loss, samples, minibatches=steps) for loss in LOSSES]
        for one, other in ((0, 1), (0, 2), (1, 2)):
            gap = max(float((weights[one][name] - weights[other][name]).abs().max()) for name in weights[one])
            assert (gap < 1e-12) is same, (one, other, gap)


@pytest.mark.parametrize("loss", LOSSES)
def test_no_loss_sees_the_split_into_microbatches(loss):
    samples = make_samples(prompts=6)
    whole = trained(loss, samples, microbatch_tokens=10_000, epochs=2)
    for budget in BUDGETS:
        assert_close(trained(loss, samples, microbatch_tokens=budget, epochs=2), whole, 1e-9)


def literal_gspo(logprobs, old, advantage):
    """The paper's sequence loss, times its tokens: the gradient goes through the sequence ratio itself."""
    ratio = torch.exp((logprobs - old).mean())
    low, high = CLIPS["gspo"]["clip_low"], CLIPS["gspo"]["clip_high"]
    return -torch.minimum(ratio * advantage, ratio.clamp(1 - low, 1 + high) * advantage) * len(logprobs)


def literal_cispo(logprobs, old, advantage):
    weight = torch.exp(logprobs - old).detach().clamp(max=1 + CLIPS["cispo"]["clip_high"])
    return -(weight * advantage * logprobs).sum()


@pytest.mark.parametrize(("loss", "literal"), [("gspo", literal_gspo), ("cispo", literal_cispo)])
def test_two_minibatches_equal_the_papers_formula_written_out(loss, literal):
    samples = make_samples(prompts=6)
    policy = BigramPolicy()
    optimizer = torch.optim.AdamW(policy.model.parameters(), lr=1e-2, weight_decay=0.0)
    with torch.no_grad():
        old = [policy.token_logprobs([sample]).logprobs for sample in samples]
    for members, factor in minibatches(samples, 2, (0, 0, 0)):
        optimizer.zero_grad()
        losses = [
            factor
            * samples[index].weight
            * literal(policy.token_logprobs([samples[index]]).logprobs, old[index], samples[index].advantages[-1])
            for index in members
        ]
        sum(losses).backward()
        optimizer.step()
    mine = trained(loss, samples, minibatches=2, weight_decay=0.0, grad_clip=1e9, microbatch_tokens=25)
    assert_close(mine, policy.weights(), 1e-9)


# -- single rollouts and the token filter -----------------------------------------------------------------------------

CRF: dict[str, Any] = {"clip_low": 0.2, "clip_high": 10.0}


def single_rollouts(keep_ratio, seed=0):
    groups = make_groups([1] * 24, seed)
    return groups, build_samples(groups, Credit(ESTIMATORS["c_rf"], sequence_mean, negative_keep_ratio=keep_ratio))


def literal_c_rf(policy, groups, keep_ratio):
    """L = -1/2 [mean over P of l+ - mean over N of l-], ratios to the behaviour policy (arXiv 2606.17250)."""
    sides = {True: [], False: []}
    for group, sample in zip(groups, single_rollouts(1.0)[1], strict=True):
        behaviour = flat([sample], lambda one: one.logprobs)
        ratio = torch.exp(policy.token_logprobs([sample]).logprobs - behaviour)
        if group.rollouts[0].reward:
            sides[True].append(ratio.clamp(max=1 + CRF["clip_high"]).mean())
        else:
            kept = behaviour.argsort(stable=True)[: -int(-keep_ratio * len(ratio) // 1)]
            sides[False].append(ratio[kept].clamp(min=1 - CRF["clip_low"]).sum() / len(ratio))
    return -0.5 * (torch.stack(sides[True]).mean() - torch.stack(sides[False]).mean())


@pytest.mark.parametrize("keep_ratio", [0.1, 0.5, 1.0])
def test_c_rf_with_the_filter_has_the_papers_loss_and_gradient(keep_ratio):
    groups, samples = single_rollouts(keep_ratio)
    policy = BigramPolicy()
    loss = literal_c_rf(policy, groups, keep_ratio)
    expected = gradients_by_hand(policy, loss)
    mine, stats = gradients_of_update(BigramPolicy(), samples, old_logprobs="engine", **CRF)
    assert stats.loss == pytest.approx(loss.item())
    assert_close(mine, expected, 1e-6)


@pytest.mark.parametrize("keep_ratio", [0.1, 0.5])
@pytest.mark.parametrize("source", ["auto", "engine"])
def test_single_rollouts_and_their_filter_do_not_see_the_split(keep_ratio, source):
    _, samples = single_rollouts(keep_ratio)
    whole, stats = gradients_of_update(BigramPolicy(), samples, old_logprobs=source, **CRF)
    for budget in BUDGETS:
        parts, part_stats = gradients_of_update(
            BigramPolicy(), samples, old_logprobs=source, microbatch_tokens=budget, **CRF
        )
        assert part_stats.loss == pytest.approx(stats.loss, rel=1e-12)
        assert_close(parts, whole, 1e-9)
    shuffled = random.Random(1).sample(samples, len(samples))
    assert_close(gradients_of_update(BigramPolicy(), shuffled, old_logprobs=source, **CRF)[0], whole, 1e-9)


def test_a_filter_that_keeps_everything_changes_no_bit_of_the_update():
    plain, kept = single_rollouts(1.0)[1], single_rollouts(0.999)[1]
    assert kept == plain
    first, second = (gradients_of_update(BigramPolicy(), samples, **CRF)[0] for samples in (plain, kept))
    assert all(torch.equal(first[name], second[name]) for name in first)


# -- entropy-shaped advantages ----------------------------------------------------------------------------------------


def entropy_samples(scale):
    groups = make_groups([2, 3, 2, 4, 2, 3], seed=5)
    assert {group.outcome for group in groups} == set(Outcome)
    return groups, build_samples(groups, Credit(ESTIMATORS["grpo"], group_token_mean, zero_variance_scale=scale))


@pytest.mark.parametrize("budget", BUDGETS)
def test_entropy_shapes_the_advantages_of_groups_without_signal(budget):
    """all correct: a H; all wrong: -a (max over the rollout of H - H), H the policy's entropy, without gradient."""
    groups, samples = entropy_samples(0.3)
    policy = BigramPolicy()
    outcomes = [group.outcome for group in groups for _ in group.rollouts]
    loss = torch.zeros(())
    for outcome, sample in zip(outcomes, samples, strict=True):
        scored = policy.token_logprobs([sample])
        advantages = flat([sample], lambda one: one.advantages)
        if outcome is Outcome.ALL_CORRECT:
            advantages = 0.3 * scored.entropies
        elif outcome is Outcome.ALL_WRONG:
            advantages = -0.3 * (scored.entropies.max() - scored.entropies)
        loss = loss - sample.weight * (advantages * scored.logprobs).sum()
    expected = gradients_by_hand(policy, loss)
    mine, stats = gradients_of_update(BigramPolicy(), samples, microbatch_tokens=budget)
    assert_close(mine, expected, 1e-6)
    assert stats.trained_tokens == len(weights_of(samples))


def test_with_a_scale_of_zero_groups_without_signal_cost_nothing():
    groups, samples = entropy_samples(0.0)
    expected = sum(
        rollout.generated_tokens for group in groups if group.outcome is Outcome.MIXED for rollout in group.rollouts
    )
    assert gradients_of_update(BigramPolicy(), samples)[1].trained_tokens == expected
