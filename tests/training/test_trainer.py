"""The update: what it computes, what it leaves out, and what it refuses."""

import math
from dataclasses import replace

import pytest
import torch
from trainer_fakes import BigramPolicy, assert_close, gradients_of_update, make_samples, settings

from rekindle.learning.losses.kl import kl_k3
from rekindle.learning.losses.ppo_clip import ppo_clip
from rekindle.learning.losses.tokens import Clip, Tokens
from rekindle.training.schedules import Decay
from rekindle.training.trainer import Diverged, Trainer


def equal(mine, others, tolerance=0.0):
    return all(torch.allclose(mine[name], others[name], rtol=tolerance, atol=tolerance) for name in mine)


def updated(samples, version=0, dtype=torch.float64, **changes):
    policy = BigramPolicy(dtype=dtype)
    stats = Trainer(policy, settings(**changes)).update(samples, version)
    return policy, stats


def test_loss_gradient_and_step_equal_the_formula_written_out():
    samples = make_samples()
    policy, stats = updated(samples, version=9, kl_coefficient=0.0, grad_clip=0.05, microbatch_tokens=16)
    by_hand = BigramPolicy()
    optimizer = torch.optim.AdamW(
        [{"params": [by_hand.model.table, by_hand.model.mixing]}, {"params": [by_hand.model.norm, by_hand.model.bias]}],
        lr=1e-2,
        weight_decay=0.1,
    )
    optimizer.param_groups[1]["weight_decay"] = 0.0
    loss, tokens, clipped = torch.zeros(()), 0, 0
    for sample in samples:
        scored = by_hand.token_logprobs([sample])
        behaviour = torch.tensor(sample.logprobs[2:], dtype=torch.float64)
        advantages = torch.tensor(sample.advantages[2:], dtype=torch.float64)
        losses, flags = ppo_clip(Tokens(scored.logprobs, behaviour, advantages, [len(advantages)]), Clip(0.2, 0.2))
        loss = loss + sample.weight * losses.sum()
        tokens, clipped = tokens + len(losses), clipped + int(flags.sum())
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(by_hand.model.parameters(), 0.05)
    optimizer.step()
    assert stats.loss == pytest.approx(loss.item())
    assert stats.grad_norm == pytest.approx(norm.item())
    assert stats.clip_fraction == pytest.approx(clipped / tokens)
    assert 0 < stats.clip_fraction < 1
    assert (stats.trained_tokens, stats.optimizer_steps, stats.kl) == (tokens, 1, None)
    assert equal(policy.weights(), by_hand.weights(), 1e-7)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-6), (torch.float32, 1e-5)])
@pytest.mark.parametrize("version", [0, 5])
def test_the_split_into_microbatches_does_not_change_the_gradient(dtype, tolerance, version):
    samples = make_samples(prompts=6)

    def gradient(budget):
        return gradients_of_update(BigramPolicy(dtype=dtype), samples, version, microbatch_tokens=budget)[0]

    whole = gradient(10_000)
    for budget in (1, 7, 15, 40, 100):
        assert_close(gradient(budget), whole, tolerance)


def test_padding_and_passes_are_counted():
    samples = make_samples(prompts=2, rows=2)
    _, stats = updated(samples, microbatch_tokens=1)
    assert (stats.microbatches, stats.padded_tokens) == (4, 0)
    assert stats.computed_tokens == sum(len(sample.token_ids) for sample in samples)
    _, stats = updated(samples, microbatch_tokens=10_000)
    longest = max(len(sample.token_ids) for sample in samples)
    assert stats.microbatches == 1
    assert stats.computed_tokens == 4 * longest
    assert stats.padded_tokens == 4 * longest - sum(len(sample.token_ids) for sample in samples)


def test_entropy_is_the_mean_over_trained_tokens_before_the_step():
    samples = make_samples()
    _, stats = updated(samples, microbatch_tokens=20)
    entropies = BigramPolicy().token_logprobs(samples).entropies
    assert stats.entropy == pytest.approx(entropies.mean().item())


@pytest.mark.parametrize("minibatches", [1, 3])
def test_rows_without_advantage_cost_nothing_and_change_nothing(minibatches):
    samples = make_samples(prompts=6)
    silent = [replace(sample, advantages=[0.0] * len(sample.advantages)) for sample in samples[:9]]
    batch = [*silent, *samples[9:]]
    policy = BigramPolicy()
    # Old log-probabilities of the engine, so that the silent rows have ratios other than 1.
    trainer = Trainer(policy, settings(minibatches=minibatches, old_logprobs="engine"))
    stats = trainer.update(batch, 0)
    seen = [row for _, rows in policy.forwards for row in rows]
    assert sorted(map(id, seen)) == sorted(map(id, samples[9:]))
    assert stats.trained_tokens == sum(sum(sample.loss_mask) for sample in samples[9:])
    # A KL term too small to matter makes every row go through the model; the weights end the same.
    counted = BigramPolicy()
    tiny_kl = settings(minibatches=minibatches, old_logprobs="engine", kl_coefficient=1e-30)
    everything = Trainer(counted, tiny_kl, reference=BigramPolicy().clone_frozen()).update(batch, 0)
    assert everything.trained_tokens == sum(sum(sample.loss_mask) for sample in samples)
    assert equal(policy.weights(), counted.weights(), 1e-12)


def test_a_batch_without_any_advantage_is_a_step_with_zero_gradient():
    policy = BigramPolicy()
    trainer = Trainer(policy, settings(weight_decay=0.0))
    silent = [replace(sample, advantages=[0.0] * len(sample.advantages)) for sample in make_samples()]
    before = policy.weights()
    stats = trainer.update(silent, 0)
    assert (stats.grad_norm, stats.loss, stats.microbatches, stats.optimizer_steps) == (0.0, 0.0, 0, 1)
    assert equal(policy.weights(), before)
    trainer.update(make_samples(), 1)
    before = policy.weights()
    trainer.update(silent, 2)
    assert not equal(policy.weights(), before)  # momentum goes on, as it would with computed zeros


def test_auto_uses_the_current_policy_for_its_own_samples_and_the_engine_for_older_ones():
    samples = make_samples(version=4)
    _, on_policy = updated(samples, version=4)
    assert on_policy.clip_fraction == 0
    assert on_policy.recomputed_tokens == 0
    # ratio 1 everywhere: the loss is - sum of weight * advantage
    expected = -sum(sample.weight * sum(sample.advantages) for sample in samples)
    assert on_policy.loss == pytest.approx(expected)
    _, stale = updated(samples, version=5)
    _, engine = updated(samples, version=4, old_logprobs="engine")
    assert stale.clip_fraction > 0
    assert replace(stale, gap=engine.gap, gap_outside=engine.gap_outside) == engine
    assert stale.gap is None, "what differs is the older policy"
    # Half and half in one micro-batch: as if each half were alone.
    mixed = [replace(sample, version=5) if i % 2 else sample for i, sample in enumerate(samples)]
    _, both = updated(mixed, version=5, microbatch_tokens=10_000)
    _, fresh = updated(mixed[1::2], version=5)
    _, old = updated(mixed[::2], version=5)
    assert both.loss == pytest.approx(fresh.loss + old.loss)


def test_auto_keeps_the_engine_logprobs_when_the_batch_is_stepped_on_twice():
    samples = make_samples(version=0)
    policy, stats = updated(samples, version=0, epochs=2)
    same, engine = updated(samples, version=0, epochs=2, old_logprobs="engine")
    assert stats == engine
    assert equal(policy.weights(), same.weights())
    assert stats.optimizer_steps == 2
    assert stats.trained_tokens == 2 * sum(sum(sample.loss_mask) for sample in samples)


def test_recompute_asks_the_policy_once_before_the_first_step():
    samples = make_samples()
    policy = BigramPolicy()
    stats = Trainer(policy, settings(old_logprobs="recompute", epochs=3, microbatch_tokens=20)).update(samples, 9)
    frozen = [rows for with_grad, rows in policy.forwards if not with_grad]
    assert sorted(id(row) for rows in frozen for row in rows) == sorted(map(id, samples))
    assert policy.forwards[: len(frozen)] == [(False, rows) for rows in frozen]
    assert stats.recomputed_tokens == stats.computed_tokens // 3
    # The same as training on samples whose behaviour log-probabilities are the start policy's.
    scored = BigramPolicy().token_logprobs(samples).logprobs.tolist()
    for index, sample in enumerate(samples):
        length = sum(sample.loss_mask)
        samples[index] = replace(sample, logprobs=[0.0, 0.0, *scored[:length]])
        scored = scored[length:]
    engine, _ = updated(samples, old_logprobs="engine", epochs=3, microbatch_tokens=20)
    assert equal(policy.weights(), engine.weights(), 1e-6)


def test_recompute_of_a_single_step_needs_no_forward_pass():
    samples = make_samples(version=0)
    policy, stats = updated(samples, version=7, old_logprobs="recompute")
    assert stats.recomputed_tokens == 0
    assert all(with_grad for with_grad, _ in policy.forwards)
    assert stats.clip_fraction == 0


def test_minibatches_make_their_steps_over_the_whole_batch():
    samples = make_samples(prompts=5)
    policy = BigramPolicy()
    stats = Trainer(policy, settings(minibatches=2, epochs=2)).update(samples, 0)
    assert stats.optimizer_steps == 4
    seen = [id(row) for _, rows in policy.forwards for row in rows]
    assert sorted(seen) == sorted([*map(id, samples), *map(id, samples)])
    again, _ = updated(samples, minibatches=2, epochs=2)
    assert equal(policy.weights(), again.weights())
    other, _ = updated(samples, minibatches=2, epochs=2, seed=1)
    assert not equal(policy.weights(), other.weights())


def test_minibatch_losses_average_to_the_batch_loss():
    samples = make_samples(prompts=4)
    frozen = {"learning_rate": 1e-30, "old_logprobs": "engine"}
    _, whole = updated(samples, **frozen)
    _, halves = updated(samples, minibatches=2, **frozen)
    assert halves.loss == pytest.approx(whole.loss)


def test_every_update_and_epoch_deals_anew():
    samples = make_samples(prompts=8)
    policy = BigramPolicy()
    trainer = Trainer(policy, settings(minibatches=2, epochs=2))
    for version in range(2):
        trainer.update(samples, version)
    deals = [tuple(sorted(row.prompt_key for row in rows)) for _, rows in policy.forwards]
    assert len(set(deals[::2])) == 4


def test_kl_term_by_hand():
    samples = [replace(sample, advantages=[0.0] * len(sample.advantages)) for sample in make_samples()]
    reference = BigramPolicy(seed=3).clone_frozen()
    policy = BigramPolicy()
    stats = Trainer(policy, settings(kl_coefficient=0.5, microbatch_tokens=20), reference=reference).update(samples, 0)
    values = kl_k3(BigramPolicy().token_logprobs(samples).logprobs, reference.token_logprobs(samples).logprobs)
    assert stats.kl == pytest.approx(values.mean().item())
    assert stats.loss == pytest.approx(0.5 * values.sum().item() / 30)
    assert stats.recomputed_tokens == stats.computed_tokens
    assert stats.grad_norm is not None
    assert stats.grad_norm > 0


@pytest.mark.parametrize("epochs", [1, 2])
def test_corrected_kl_is_multiplied_by_the_ratio(epochs):
    """The first step has a ratio of 1 with a gradient; k3 reported as it is."""
    samples = [replace(sample, advantages=[0.0] * len(sample.advantages)) for sample in make_samples()]
    reference, policy = BigramPolicy(seed=3).clone_frozen(), BigramPolicy()
    theirs = reference.token_logprobs(samples).logprobs
    start = policy.token_logprobs(samples).logprobs.detach()
    optimizer = torch.optim.AdamW(policy.model.parameters(), lr=1e-2, weight_decay=0.0)
    for _ in range(epochs):
        optimizer.zero_grad()
        mine = policy.token_logprobs(samples).logprobs
        (0.5 / 30 * torch.exp(mine - start) * kl_k3(mine, theirs)).sum().backward()
        optimizer.step()
    trained = BigramPolicy()
    options = {"kl_coefficient": 0.5, "kl": "k3_corrected", "old_logprobs": "recompute", "epochs": epochs}
    options |= {"weight_decay": 0.0, "grad_clip": 1e9}
    stats = Trainer(trained, settings(**options), reference=reference).update(samples, 0)
    assert_close(trained.weights(), policy.weights(), 1e-9)
    if epochs == 1:
        assert stats.kl == pytest.approx(kl_k3(start, theirs).mean().item())


def test_a_dual_clip_reaches_the_loss():
    samples = make_samples()
    bounded, plain = (
        gradients_of_update(BigramPolicy(), samples, old_logprobs="engine", dual_clip=dual)[1] for dual in (1.5, None)
    )
    assert bounded.clip_fraction > plain.clip_fraction
    assert bounded.loss < plain.loss


def test_without_a_coefficient_the_reference_is_not_asked():
    reference = BigramPolicy().clone_frozen()
    Trainer(BigramPolicy(), settings(), reference=reference).update(make_samples(), 0)
    assert reference.forwards == []


def test_learning_rate_follows_the_schedule():
    trainer = Trainer(BigramPolicy(), settings(warmup_steps=2, schedule="linear"), decay=Decay(2, 4))
    rates = [trainer.update(make_samples(), version).lr for version in range(4)]
    assert rates == pytest.approx([0.005, 0.01, 0.01, 0.005])
    assert trainer.updates == 4


def test_learning_rate_falls_with_a_budget():
    """4 rollouts of 16 a step: the last step begins with a quarter left; the warm-up is a factor of updates."""
    decay = Decay(0, 16, key="train.rollouts")
    trainer = Trainer(BigramPolicy(), settings(warmup_steps=1, schedule="linear"), decay=decay)
    spent = [{"train.rollouts": 4 * step, "train.tokens": 999} for step in range(4)]
    rates = [trainer.update(make_samples(), version, 1.0, one).lr for version, one in enumerate(spent)]
    assert rates == pytest.approx([0.01, 0.0075, 0.005, 0.0025])


@pytest.mark.parametrize("scale", [0.25, 0.7])
def test_the_scale_is_a_factor_of_the_learning_rate_and_of_nothing_else(scale):
    trained = []
    for scales, rate in (((1.0, scale, 1.0), 1e-2), ((1 / scale, 1.0, 1 / scale), 1e-2 * scale)):
        policy = BigramPolicy()
        trainer = Trainer(policy, settings(learning_rate=rate, minibatches=2, warmup_steps=2))
        rates = [trainer.update(make_samples(seed=v), v, factor).lr for v, factor in enumerate(scales)]
        assert rates == pytest.approx([0.5e-2, 1e-2 * scale, 1e-2])
        trained.append(policy.weights())
    assert equal(trained[0], trained[1], 1e-12)


def test_a_scale_of_one_is_no_scale():
    once, again = updated(make_samples())[0], BigramPolicy()
    Trainer(again, settings()).update(make_samples(), 0, 1.0)
    assert equal(once.weights(), again.weights())


def test_training_raises_the_probability_of_what_has_advantage():
    samples = make_samples()
    policy = BigramPolicy()
    trainer = Trainer(policy, settings())

    def score():
        logprobs = policy.token_logprobs(samples).logprobs
        return sum(a * x for a, x in zip([a for s in samples for a in s.advantages[2:]], logprobs, strict=True)).item()

    before = score()
    for version in range(5):
        trainer.update([replace(sample, version=version) for sample in samples], version)
    assert score() > before


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("epochs", [1, 2])
def test_a_step_that_is_not_finite_is_skipped_and_changes_nothing(bad, epochs):
    policy = BigramPolicy()
    trainer = Trainer(policy, settings(epochs=epochs, microbatch_tokens=20))
    trainer.update(make_samples(seed=1), 0)
    before, state = policy.weights(), {k: v.clone() for k, v in trainer.state_dict()["tensors"].items()}
    samples = make_samples()
    samples[5] = replace(samples[5], weight=bad)
    stats = trainer.update(samples, 1)
    assert (stats.skipped_steps, stats.optimizer_steps, trainer.skipped) == (epochs, 0, epochs)
    assert math.isnan(stats.loss)
    assert equal(policy.weights(), before)
    assert equal(trainer.state_dict()["tensors"], state)
    assert all(parameter.grad is None for parameter in policy.model.parameters())
    assert trainer.updates == 2
    assert trainer.update(make_samples(), 2).skipped_steps == 0
    assert trainer.skipped == 0


def test_only_the_part_of_an_update_that_is_not_finite_is_skipped_and_it_is_handed_on_to_be_repeated():
    samples, kept = make_samples(), []
    samples[5] = replace(samples[5], weight=math.nan)
    both = settings(epochs=1, minibatches=2, old_logprobs="engine")
    policy, other = BigramPolicy(), BigramPolicy()
    trainer = Trainer(policy, both, on_skip=lambda step, _: kept.append((step, policy.weights())))
    stats = trainer.update(samples, 0)
    assert (stats.skipped_steps, stats.optimizer_steps) == (1, 1)
    assert math.isfinite(stats.loss)
    ((step, weights),) = kept
    assert samples[5] in step.samples
    assert (step.update, step.cause) == (1, "the loss is nan")
    again = Trainer(other, both)
    with torch.no_grad():
        for name, parameter in other.model.named_parameters():
            parameter.copy_(weights[name])
    with pytest.raises(Diverged, match="the loss is nan"):
        again.repeated(step)
    good = replace(step, samples=[replace(one, weight=1.0) for one in step.samples])
    assert math.isfinite(again.repeated(good).loss)
    assert equal(other.weights(), weights)


def test_a_gradient_that_is_not_finite_is_caught_although_the_loss_is():
    policy = BigramPolicy()
    trainer = Trainer(policy, settings())
    before = policy.weights()
    handle = policy.model.mixing.register_hook(lambda gradient: gradient * math.inf)
    assert trainer.update(make_samples(), 0).skipped_steps == 1
    assert equal(policy.weights(), before)
    handle.remove()
    trainer.update(make_samples(), 0)
    assert all(weight.isfinite().all() for weight in policy.weights().values())


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match=r"loss\.kl_coefficient = 0\.1 needs a reference policy"):
        Trainer(BigramPolicy(), settings(kl_coefficient=0.1))
    with pytest.raises(ValueError, match='"linear" schedule needs an end'):
        Trainer(BigramPolicy(), settings(schedule="linear"))
    with pytest.raises(ValueError, match="at least one sample"):
        Trainer(BigramPolicy(), settings()).update([], 0)
