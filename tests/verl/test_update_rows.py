"""Training samples in verl's own losses: the gradient is that of our loss, whatever the credit does."""

import pytest
import torch
from omegaconf import OmegaConf
from transfer_queue import KVBatchMeta
from verl.trainer.ppo.core_algos import compute_policy_loss_vanilla

from rekindle.integrations.verl.update import Update
from rekindle.integrations.verl.update_rows import UpdateRow, active, aggregation_of, relative_weights, token_fields
from rekindle.learning.aggregation import named_aggregation
from rekindle.learning.credit import Credit, OffTemperature
from rekindle.learning.estimators import ESTIMATORS
from rekindle.learning.losses.importance import importance_weights
from rekindle.learning.losses.zero_variance import entropy_advantages
from rekindle.learning.overlong import Mask
from rekindle.learning.samples import build_samples
from rekindle.learning.sides import side_scales
from rekindle.learning.subsets import Subset, max_variance
from rekindle.recipes import resolve
from rekindle.types import Group, GroupRequest, Rollout, outcome_of

LENGTH = 8
MODES = {
    "token_mean": "token-mean",
    "sequence_mean": "seq-mean-token-mean",
    "constant_length": "seq-mean-token-sum-norm",
}
PROMPT = 2
SETTINGS = resolve({"train": {"steps": 1}}, "grpo")


def rollout(reward, mask, *, temperature=1.0, truncated=False):
    """Two prompt tokens, then sampled tokens (1) and those of a tool (0)."""
    own = [False] * PROMPT + [bool(one) for one in mask]
    logprobs = [-0.4 - 0.1 * place if one else 0.0 for place, one in enumerate(own)]
    return Rollout(
        token_ids=list(range(len(own))), loss_mask=own, logprobs=logprobs, reward=reward, temperature=temperature,
        truncated=truncated,
    )  # fmt: skip


def group(key, *rollouts):
    request = GroupRequest(
        id=key,
        task_id=str(key),
        row=key,
        n=len(rollouts),
        temperature=rollouts[0].temperature,
        seed=0,
        version=0,
        step=1,
    )
    return Group(request=request, rollouts=rollouts, outcome=outcome_of([one.reward for one in rollouts]))


MIXED = group(1, rollout(1.0, [1, 1, 1]), rollout(0.0, [1, 0, 1, 1]), rollout(0.0, [1]))
OTHER = group(2, rollout(1.0, [1, 1]), rollout(0.0, [1, 1, 1, 1, 1], truncated=True))
SOLVED = group(3, rollout(1.0, [1, 1]), rollout(1.0, [1]))
HOT = group(4, rollout(1.0, [1, 1], temperature=1.3), rollout(0.0, [1, 1, 1], temperature=1.3))


def rows_of(groups, aggregation="token_mean", estimator="grpo", **stages):
    credit = Credit(ESTIMATORS[estimator], named_aggregation(aggregation, LENGTH), **stages)
    samples = build_samples(groups, credit)
    return [UpdateRow(str(number), sample, PROMPT) for number, sample in enumerate(samples)]


def leaves_of(rows):
    """[response] log-probabilities of each row as leaves, and entropies."""
    generator = torch.Generator().manual_seed(0)
    logprobs = [(-torch.rand(len(row.mask), generator=generator)).double().requires_grad_() for row in rows]
    return logprobs, [torch.rand(len(row.mask), generator=generator) for row in rows]


def ours(rows, logprobs, entropies):
    """The gradient of our loss before the first optimizer step, where every ratio is 1."""
    scales = side_scales([row.sample for row in rows])
    total = torch.zeros((), dtype=torch.float64)
    for row, logprob, entropy in zip(rows, logprobs, entropies, strict=True):
        own = torch.tensor(row.mask, dtype=torch.bool)
        advantages = torch.tensor(row.advantages, dtype=torch.float64)[own] * scales.get(id(row.sample), 1.0)
        if row.sample.entropy_scale:
            advantages = advantages + entropy_advantages(entropy[own], [int(own.sum())], [row.sample.entropy_scale])
        weights = torch.full_like(advantages, row.sample.weight)
        if cap := row.sample.importance_cap:
            behaviour = torch.tensor(row.logprobs, dtype=torch.float64)[own]
            weights = weights * importance_weights(logprob[own], behaviour, torch.full_like(behaviour, cap))
        ratio = (logprob[own] - logprob[own].detach()).exp()
        total = total - (weights * ratio * advantages).sum()
    return torch.autograd.grad(total, logprobs, allow_unused=True)


def verls(rows, logprobs, entropies, mode, weights=None):
    """The gradient of verl's loss on the fields that we write for it; dummy rows count nowhere."""
    old = [one.detach() for one in logprobs]
    weights = relative_weights(rows, aggregation_of(mode, LENGTH)) if weights is None else weights
    fields = token_fields(rows, weights, old, entropies)
    width = max(len(row.mask) for row in rows)

    def matrix(tensors):
        return torch.stack([torch.nn.functional.pad(one.double(), (0, width - len(one))) for one in tensors])

    mask = matrix([torch.tensor(row.mask) for row in rows])
    config = OmegaConf.create({"clip_ratio": 0.2, "clip_ratio_low": 0.2, "clip_ratio_high": 0.2, "clip_ratio_c": 1e9})
    config = Config(config, len(rows), int(mask.sum()))
    loss, _ = compute_policy_loss_vanilla(
        matrix(old), matrix(logprobs), matrix(fields["advantages"]), mask, mode, config,
        matrix(fields["rollout_is_weights"]) if "rollout_is_weights" in fields else None,
    )  # fmt: skip
    return torch.autograd.grad(loss, logprobs, allow_unused=True), fields


class Config:
    """verl's configuration of an actor, as its losses read it."""

    def __init__(self, values, rows, tokens):
        self._values = values
        self.global_batch_info = {
            "dp_size": 1, "batch_num_tokens": tokens, "global_batch_size": rows, "loss_scale_factor": LENGTH,
        }  # fmt: skip

    def __getattr__(self, name):
        return self._values[name]

    def get(self, name, default=None):
        return self._values.get(name, default)


def assert_equal(rows, mode):
    logprobs, entropies = leaves_of(rows)
    wanted = ours(rows, logprobs, entropies)
    found, fields = verls(rows, logprobs, entropies, mode)
    assert any(one is not None and one.abs().sum() > 0 for one in wanted)
    for one, other in zip(wanted, found, strict=True):
        torch.testing.assert_close(other if other is not None else torch.zeros_like(one), one, rtol=1e-5, atol=1e-7)
    return fields


@pytest.mark.parametrize(("aggregation", "mode"), MODES.items())
def test_a_plain_batch_needs_no_weights(aggregation, mode):
    rows = rows_of([MIXED, OTHER, SOLVED], aggregation)
    assert "rollout_is_weights" not in assert_equal(rows, mode)


@pytest.mark.parametrize(("aggregation", "mode"), MODES.items())
def test_rows_without_gradient_are_left_out_and_still_count(aggregation, mode):
    rows = active(rows_of([MIXED, OTHER, SOLVED], aggregation), with_kl=False)
    assert len(rows) == 5
    assert "rollout_is_weights" in assert_equal(rows, mode)


@pytest.mark.parametrize("mode", MODES.values())
@pytest.mark.parametrize("aggregation", [*MODES, "group_token_mean"])
def test_another_mean_than_verls(aggregation, mode):
    assert_equal(rows_of([MIXED, OTHER], aggregation), mode)


STAGES: dict[str, dict] = {
    "negative tokens": {"negative_keep_ratio": 0.4},
    "negative scale": {"negative_scale": 0.5},
    "subset": {"subset": Subset(lambda rewards: max_variance(rewards, 2), "selected")},
    "overlong": {"overlong": Mask()},
    "zero variance": {"zero_variance_scale": 0.1},
    "importance": {"tis_cap": 2.0},
    "role": {"weight": 0.3},
}


@pytest.mark.parametrize("mode", MODES.values())
@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_of_credit(stage, mode):
    assert_equal(rows_of([MIXED, OTHER, SOLVED], **STAGES[stage]), mode)


def test_rows_sampled_at_another_temperature_are_weighted():
    off = OffTemperature("importance", 1.0, 2.0)
    rows = rows_of([MIXED, HOT], off_temperature=off)
    assert [row.sample.temperature for row in rows] == [1.0] * 5
    assert_equal(rows, "token-mean")


@pytest.mark.parametrize("mode", MODES.values())
def test_both_sides_of_c_rf_weigh_the_same(mode):
    single = [group(key, rollout(float(key == 1), [1] * (key + 1))) for key in (1, 2, 3)]
    rows = rows_of(single, estimator="c_rf", negative_keep_ratio=0.5)
    fields = assert_equal(rows, mode)
    assert {round(float(one.abs().max()), 3) for one in fields["advantages"]} != {1.0}


def update_of(rows, mode, dummies):
    """An update that keeps verl's denominators, with dummy rows of two tokens."""
    lengths = {row.key: len(row.sample.token_ids) for row in rows} | {f"dummy{number}": 2 for number in range(dummies)}
    tags = {key: {"seq_len": length} for key, length in lengths.items()}
    made = Update.of(rows, tags, config=SETTINGS, aggregation=aggregation_of(mode, LENGTH), keep_all=True)
    made.pad(KVBatchMeta(keys=list(tags), tags=list(tags.values()), partition_id="train"))
    return made


@pytest.mark.parametrize("multiple", [1, 2, 3, 4])
@pytest.mark.parametrize("mode", MODES.values())
def test_rows_left_out_of_the_step_change_no_gradient(mode, multiple):
    rows = rows_of([MIXED, OTHER, SOLVED, group(5, rollout(0.0, [1, 1, 1, 1]), rollout(0.0, [1]))])
    dummies = -len(rows) % multiple
    whole, part = update_of(rows, mode, dummies), update_of(rows, mode, dummies)
    part.leave_out_silent(multiple)
    kept = [row for row in rows if row.key in part.trained.keys]
    assert len(part.trained) % multiple == 0
    assert len(part.trained) == 5 + -5 % multiple < len(whole.trained)
    assert (part.counted, whole.counted) == (len(kept), len(rows))
    logprobs, entropies = leaves_of(rows)
    every, _ = verls(rows, logprobs, entropies, mode, whole._weights())
    places = [rows.index(row) for row in kept]
    few, _ = verls(
        kept,
        [logprobs[place] for place in places],
        [entropies[place] for place in places],
        mode,
        [part._weights()[place] for place in places],
    )
    for place, found in zip(places, few, strict=True):
        torch.testing.assert_close(found, every[place], rtol=1e-6, atol=1e-9)
    silent = [every[place] for place in range(len(rows)) if place not in places]
    assert all(one is None or not one.any() for one in silent)


def test_a_step_without_signal_keeps_all_rows():
    update = update_of(rows_of([SOLVED]), "token-mean", 0)
    update.leave_out_silent(1)
    assert update.trained.keys == ["0", "1"]
