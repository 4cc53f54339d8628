"""Movement of the policy in an update, measured on a few rollouts of its batch."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from rekindle.types import TrainingSample

__all__ = ["Movement"]


class Movement:
    """Mean |change of log p| per token over some rollouts, between the first forward pass and the end of an update.

    The first pass is part of the update; only the pass at the end is extra.

    Args:
        samples: Rollouts of the update's first optimizer step, scored before any weight changed.
        count: Number of rollouts to probe, evenly spread; 0 for none.
    """

    def __init__(self, samples: Sequence[TrainingSample], count: int) -> None:
        stride = max(1, len(samples) // count) if count else 1
        self.rows = list(samples[::stride][:count])
        self._wanted = {id(row) for row in self.rows}
        self._before: dict[int, Tensor] = {}

    def before(self, rows: Sequence[TrainingSample], logprobs: Tensor) -> None:
        """Keep the log-probabilities [N] of probed rows, the first time they are seen."""
        if len(self._before) == len(self._wanted):
            return
        parts = torch.split(logprobs.detach(), [sum(row.loss_mask) for row in rows])
        for row, part in zip(rows, parts, strict=True):
            if id(row) in self._wanted:
                self._before.setdefault(id(row), part)

    def moved(self, after: Mapping[int, Tensor]) -> float:
        """The movement, given the present log-probabilities of the probed rows by ``id`` of the sample.

        NaN where no row was scored before, because the first optimizer step was skipped.
        """
        if not self._before:
            return math.nan
        changes = [(after[key] - before).abs() for key, before in self._before.items()]
        return float(torch.cat(changes).double().mean())
