"""Gap between engine and trainer: how differently both score the sampled tokens with the same weights.

In exact arithmetic the engine's log-probabilities and those of the trainer's forward pass are equal until the first
optimizer step on a batch. In bfloat16, or with an engine of other kernels, they are not, and the policy that samples is
then not the one that is trained.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import compress

import torch
from torch import Tensor

from rekindle.types import TrainingSample

__all__ = ["LOWEST_RATIO", "MOST_RATIO", "PolicyGap"]

LOWEST_RATIO, MOST_RATIO = 0.8, 1.2
"""Ratios pi_trainer / pi_engine outside of this range are counted."""


@dataclass(slots=True)
class PolicyGap:
    """Sums over the tokens of one update that were sampled with the current weights.

    Attributes:
        version: Version of the weights; samples of other versions are left out, and those scored at another temperature
            than they were sampled at.
        tokens: Number of tokens measured.
        sums: [2] sum of |log-probability of the trainer - that of the engine|, and number of ratios outside the range.
    """

    version: int
    tokens: int = 0
    sums: Tensor | None = field(default=None, repr=False)

    def add(self, rows: Sequence[TrainingSample], logprobs: Tensor) -> None:
        """Add the rows of a forward pass before the first optimizer step.

        Args:
            rows: Samples of the pass.
            logprobs: [N] the trainer's, of their trainable tokens.
        """
        lengths = [sum(row.loss_mask) for row in rows]
        parts = zip(rows, torch.split(logprobs.detach(), lengths), strict=True)
        measured = [(row, part) for row, part in parts if part.numel() and self._comparable(row)]
        if not measured:
            return
        ours = torch.cat([part for _, part in measured]).double()
        engine = ours.new_tensor([value for row, _ in measured for value in compress(row.logprobs, row.loss_mask)])
        difference = ours - engine
        ratio = difference.exp()
        outside = (ratio < LOWEST_RATIO) | (ratio > MOST_RATIO)
        found = torch.stack([difference.abs().sum(), outside.sum().double()])
        self.sums = found if self.sums is None else self.sums + found
        self.tokens += ours.numel()

    def _comparable(self, row: TrainingSample) -> bool:
        return row.version == self.version and row.behaviour_temperature in {None, row.temperature}

    def measured(self) -> tuple[float | None, float | None]:
        """The mean absolute difference in nats, and the share of ratios outside the range; None without tokens."""
        if self.sums is None:
            return None, None
        total, outside = self.sums.tolist()
        return total / self.tokens, outside / self.tokens
