"""Running sums of an update over its micro-batches."""

import math
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from rekindle.models.policy import TokenLogprobs
from rekindle.records.update_stats import Diverged, UpdateStats

__all__ = ["UpdateSums"]


@dataclass(slots=True)
class UpdateSums:
    """Running sums of one update; the fields are those of ``UpdateStats`` before division."""

    loss: float = 0.0
    entropy: float = 0.0
    grad_norm: float = 0.0
    kl: float = 0.0
    clipped: float = 0.0
    trained_tokens: int = 0
    computed_tokens: int = 0
    padded_tokens: int = 0
    recomputed_tokens: int = 0
    microbatches: int = 0
    optimizer_steps: int = 0
    skipped_steps: int = 0

    def include(self, later: "UpdateSums") -> None:
        """Add the sums of an optimizer step."""
        for one in fields(self):
            setattr(self, one.name, getattr(self, one.name) + getattr(later, one.name))

    def add(self, scored: TokenLogprobs, loss: Tensor, kl: Tensor, clipped: Tensor) -> None:
        """Add a micro-batch: its loss (one number), KL estimates [N] and clipped tokens [N].

        Raises:
            Diverged: The loss or a log-probability is not finite.
        """
        # One transfer from the device per micro-batch, after its backward pass is queued.
        logprobs = scored.logprobs.detach()
        numbers = (loss.detach(), scored.entropies.sum(), kl.detach().sum(), clipped.sum(), logprobs.sum())
        loss_value, entropy, kl_value, clips, total = torch.stack([number.double() for number in numbers]).tolist()
        if not math.isfinite(total):
            raise Diverged(f"a log-probability of the policy is {total}")
        if not math.isfinite(loss_value):
            raise Diverged(f"the loss is {loss_value}")
        self.loss += loss_value
        self.entropy += entropy
        self.kl += kl_value
        self.clipped += clips
        self.trained_tokens += clipped.numel()
        self.computed_tokens += scored.computed_tokens
        self.padded_tokens += scored.padded_tokens
        self.microbatches += 1

    def stats(
        self,
        learning_rate: float,
        *,
        with_kl: bool,
        moved: float | None = None,
        gap: tuple[float | None, float | None] = (None, None),
    ) -> UpdateStats:
        """Divide: losses and norms by the optimizer steps, token quantities by the trained tokens."""
        tokens = max(1, self.trained_tokens)
        return UpdateStats(
            loss=self.loss / self.optimizer_steps if self.optimizer_steps else math.nan,
            entropy=self.entropy / tokens,
            grad_norm=self.grad_norm / self.optimizer_steps if self.optimizer_steps else math.nan,
            lr=learning_rate,
            kl=self.kl / tokens if with_kl else None,
            clip_fraction=self.clipped / tokens,
            trained_tokens=self.trained_tokens,
            computed_tokens=self.computed_tokens,
            padded_tokens=self.padded_tokens,
            recomputed_tokens=self.recomputed_tokens,
            microbatches=self.microbatches,
            optimizer_steps=self.optimizer_steps,
            skipped_steps=self.skipped_steps,
            moved=moved if moved is not None and math.isfinite(moved) else None,
            gap=gap[0],
            gap_outside=gap[1],
        )
