"""Numbers of an update, and the error of a diverged one."""

import math
from dataclasses import dataclass, fields
from typing import Any

from rekindle.types import UserError

__all__ = ["Diverged", "UpdateStats"]


class Diverged(UserError):  # noqa: N818  (an outcome of a run, not a mistake of the caller)
    """A loss, gradient, log-probability or weight is not finite."""


@dataclass(frozen=True, slots=True)
class UpdateStats:
    """Numbers of one update.

    Attributes:
        loss: Batch loss, KL term included; mean over the optimizer steps; NaN where all were skipped.
        entropy: Mean entropy of the trained tokens in nats, before each token's step.
        grad_norm: Euclidean norm before clipping; mean over the optimizer steps; None: another trainer did not say it.
        lr: Learning rate of the update.
        kl: Mean KL estimate to the reference over the trained tokens; None without a KL term.
        clip_fraction: Share of the trained tokens without gradient because of the clipped ratio.
        trained_tokens: Sampled tokens of the rows that went forward and backward, once per pass.
        computed_tokens: Tokens that went through the model forward and backward, prompts and padding included.
        padded_tokens: Padding among ``computed_tokens``.
        recomputed_tokens: Tokens that went forward only, for old or reference log-probabilities, padding included.
        microbatches: Forward and backward passes.
        optimizer_steps: AdamW steps.
        skipped_steps: AdamW steps that were not made, because the loss, a gradient or a log-probability is not finite.
        moved: Movement of the policy, mean |change of log p| per token in nats; None if not measured.
        gap: Mean |log-probability of the trainer - that of the engine| per token before the first optimizer step, in
            nats; None if there was nothing to compare.
        gap_outside: Share of these tokens whose ratio is outside 0.8 to 1.2.
    """

    loss: float
    entropy: float
    grad_norm: float | None
    lr: float
    kl: float | None
    clip_fraction: float
    trained_tokens: int
    computed_tokens: int
    padded_tokens: int
    recomputed_tokens: int
    microbatches: int
    optimizer_steps: int
    skipped_steps: int = 0
    moved: float | None = None
    gap: float | None = None
    gap_outside: float | None = None

    def followed_by(self, later: "UpdateStats") -> "UpdateStats":
        """Numbers of two updates of one step together.

        Counts and movements are added. Losses and norms are means over the optimizer steps, other means are over the
        trained tokens. The learning rate is the later one. The gap to the engine is the earlier one: afterwards the
        policy is another one than the engine sampled from.
        """
        joined: dict[str, Any] = {}
        for field in fields(self):
            one, other = getattr(self, field.name), getattr(later, field.name)
            if field.type is int:
                joined[field.name] = one + other
            elif field.name == "moved":
                joined[field.name] = None if one is other is None else (one or 0.0) + (other or 0.0)
            elif field.name in {"gap", "gap_outside"}:
                joined[field.name] = other if self.gap is None else one
            else:
                by_steps = field.name in {"loss", "grad_norm"}
                count = "optimizer_steps" if by_steps else "trained_tokens"
                joined[field.name] = _mean((one, getattr(self, count)), (other, getattr(later, count)))
        return UpdateStats(**joined | {"lr": later.lr})


def _mean(*weighted: tuple[float | None, int]) -> float | None:
    """Mean of the known values by weight; None where none is known, NaN where none is a number."""
    known = [(value, weight) for value, weight in weighted if value is not None]
    numbers = [(value, weight) for value, weight in known if not math.isnan(value)]
    if not numbers:
        return math.nan if known else None
    return sum(value * weight for value, weight in numbers) / max(1, sum(weight for _, weight in numbers))
