"""Dummy rows in verl's whole loss of an actor, the KL term and the entropy included: they count nowhere."""

import pytest
import torch
from tensordict import TensorDict
from verl.utils import tensordict_utils as tu
from verl.workers.config import FSDPActorConfig
from verl.workers.utils.losses import ppo_loss

from rekindle.integrations.verl.row_keys import COUNTED
from rekindle.integrations.verl.update_rows import jagged
from rekindle.integrations.verl.worker import without_dummies

MODES = ("token-mean", "seq-mean-token-mean", "seq-mean-token-sum", "seq-mean-token-sum-norm")
LENGTHS, PROMPT = (3, 1, 4), 1
DUMMIES = 5


def actor(mode):
    return FSDPActorConfig(
        strategy="fsdp2",
        rollout_n=1,
        ppo_micro_batch_size_per_gpu=1,
        loss_agg_mode=mode,
        loss_scale_factor=8,
        entropy_coeff=0.1,
        use_kl_loss=True,
        kl_loss_coef=0.3,
    )


def numbers(seed, count):
    return torch.rand(count, generator=torch.Generator().manual_seed(seed))


def loss_of(mode, dummies):
    """verl's loss of three rows and dummy ones, with its metrics, and the gradient of the rows' logits."""
    lengths = [*LENGTHS, *[1] * dummies]
    rows = list(enumerate(lengths))
    logits = [numbers(row, PROMPT + length).requires_grad_() for row, length in rows]
    entropies = [numbers(row + 100, PROMPT + length) for row, length in rows]
    old, reference, advantages = ([-numbers(row + seed, length) for row, length in rows] for seed in (200, 300, 400))
    masks = [torch.full((length,), int(row < len(LENGTHS))) for row, length in enumerate(lengths)]
    data = jagged(
        {
            "prompts": [torch.zeros(PROMPT, dtype=torch.long) for _ in lengths],
            "responses": [torch.zeros(length, dtype=torch.long) for length in lengths],
            "response_mask": masks,
            "old_log_probs": old,
            "ref_log_prob": reference,
            "advantages": advantages,
        }
    )
    tu.assign_non_tensor(data, dp_size=1, batch_num_tokens=sum(LENGTHS), global_batch_size=len(lengths))
    if dummies:
        tu.assign_non_tensor(data, **{COUNTED: float(len(LENGTHS))})
    output = {
        "log_probs": torch.nested.as_nested_tensor([-one for one in logits], layout=torch.jagged),
        "entropy": torch.nested.as_nested_tensor(entropies, layout=torch.jagged),
    }
    loss, metrics = ppo_loss(actor(mode), output, without_dummies(data))
    found = torch.autograd.grad(loss, logits[: len(LENGTHS)])
    return loss, metrics, found


def values_of(metrics):
    kept = ("actor/pg_loss", "actor/entropy_loss", "kl_loss")
    return {name: float(metrics[name].aggregate()) for name in kept}


@pytest.mark.parametrize("mode", MODES)
def test_dummy_rows_count_nowhere(mode):
    loss, metrics, gradient = loss_of(mode, 0)
    padded, metrics_of_padded, gradient_of_padded = loss_of(mode, DUMMIES)
    assert values_of(metrics)["kl_loss"] > 0
    assert values_of(metrics_of_padded) == pytest.approx(values_of(metrics), rel=1e-6)
    torch.testing.assert_close(padded, loss)
    torch.testing.assert_close(gradient_of_padded, gradient)


def test_without_dummies_nothing_changes():
    data = TensorDict({"a": torch.zeros(2)}, batch_size=2)
    tu.assign_non_tensor(data, global_batch_size=2)
    assert tu.get(without_dummies(data), "global_batch_size") == 2
