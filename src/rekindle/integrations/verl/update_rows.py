"""Training samples as what verl's update reads: fields of trajectories in TransferQueue, and the rows of the batch.

verl's loss is a mean over the rows of a mini-batch. A sample's weight is its weight per token in the loss of the batch:
where the two differ, their ratio multiplies the losses of the row's tokens (``rollout_is_weights`` of verl).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor

from rekindle.integrations.verl.row_counts import has_gradient
from rekindle.learning.aggregation import Aggregation, constant_length, sequence_mean, token_mean
from rekindle.learning.losses.importance import importance_weights
from rekindle.learning.losses.zero_variance import entropy_advantages
from rekindle.learning.sides import side_scales
from rekindle.types import TrainingSample

__all__ = ["UpdateRow", "active", "aggregation_of", "jagged", "relative_weights", "token_fields"]

SAME = 1e-9
"""Relative weights this near to 1 are 1."""


def aggregation_of(mode: str, length: int) -> Aggregation:
    """The mean that verl's loss is.

    Args:
        mode: ``loss_agg_mode`` of verl.
        length: Constant length by which verl divides, its ``loss_scale_factor``.
    """
    if mode == "token-mean":
        return token_mean
    return sequence_mean if mode == "seq-mean-token-mean" else constant_length(length)


@dataclass(frozen=True, slots=True)
class UpdateRow:
    """A row of an update.

    Attributes:
        key: Key of the trajectory in TransferQueue.
        sample: Its training sample.
        prompt: Number of prompt tokens; the rest is verl's response.
    """

    key: str
    sample: TrainingSample
    prompt: int

    @property
    def advantages(self) -> Sequence[float]:
        """[response]."""
        return self.sample.advantages[self.prompt :]

    @property
    def mask(self) -> Sequence[bool]:
        """[response]."""
        return self.sample.loss_mask[self.prompt :]

    @property
    def logprobs(self) -> Sequence[float]:
        """[response] of the engine."""
        return self.sample.logprobs[self.prompt :]


def active(rows: Sequence[UpdateRow], *, with_kl: bool) -> list[UpdateRow]:
    """The rows whose loss has a gradient."""
    if with_kl:
        return [row for row in rows if any(row.mask)]
    return [row for row in rows if has_gradient(row.sample)]


def relative_weights(rows: Sequence[UpdateRow], aggregation: Aggregation) -> list[float]:
    """[rows] weight of each row over its weight in verl's loss of these rows.

    Args:
        rows: The rows that go through the model.
        aggregation: That of verl's loss; dummy rows beside them do not count (``worker.without_dummies``).
    """
    plain = aggregation([sum(row.mask) for row in rows], [row.sample.prompt_key for row in rows])
    found = [row.sample.weight / weight if weight else 1.0 for row, weight in zip(rows, plain, strict=True)]
    return [1.0 if math.isclose(value, 1.0, abs_tol=SAME) else value for value in found]


def token_fields(
    rows: Sequence[UpdateRow], weights: Sequence[float], old: Sequence[Tensor], entropies: Sequence[Tensor]
) -> dict[str, list[Tensor]]:
    """Fields of verl's update by name, each a tensor [response] per row.

    ``advantages`` and ``returns`` always; ``rollout_is_weights`` only where a weight is not 1.

    Args:
        rows: The rows.
        weights: Relative weight of each row.
        old: [response] log-probabilities of the old policy, of each row.
        entropies: [response] its entropies.
    """
    scales = side_scales([row.sample for row in rows])
    advantages = [
        _advantages(row, scales.get(id(row.sample), 1.0), entropy) for row, entropy in zip(rows, entropies, strict=True)
    ]
    fields = {"advantages": advantages, "returns": advantages}
    if any(weight != 1 for weight in weights) or any(row.sample.importance_cap for row in rows):
        fields["rollout_is_weights"] = [
            weight * _importance(row, logprobs) for row, weight, logprobs in zip(rows, weights, old, strict=True)
        ]
    return fields


def _advantages(row: UpdateRow, scale: float, entropies: Tensor) -> Tensor:
    found = torch.tensor(row.advantages, dtype=torch.float32) * scale
    if row.sample.entropy_scale:
        own = torch.tensor(row.mask, dtype=torch.bool)
        found[own] += entropy_advantages(entropies[own].double(), [int(own.sum())], [row.sample.entropy_scale]).float()
    return found


def _importance(row: UpdateRow, old: Tensor) -> Tensor:
    """[response] weights of tokens that were sampled at another temperature or by an engine that differs."""
    cap = row.sample.importance_cap
    if not cap:
        return torch.ones(len(row.mask))
    own = torch.tensor(row.mask, dtype=torch.bool)
    behaviour = torch.tensor(row.logprobs, dtype=torch.float64)
    found = importance_weights(old.double(), behaviour, torch.full_like(behaviour, cap))
    return torch.where(own, found, torch.ones_like(found)).float()


def jagged(columns: Mapping[str, Sequence[Tensor]]) -> TensorDict:
    """Fields of rows of different lengths, as TransferQueue takes them."""
    size = len(next(iter(columns.values())))
    nested: dict[str, Any] = {
        name: torch.nested.as_nested_tensor(list(tensors), layout=torch.jagged) for name, tensors in columns.items()
    }
    return TensorDict(nested, batch_size=size)
