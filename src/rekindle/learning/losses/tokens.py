"""The input and signature of a token loss, and reductions over the tokens of a rollout."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["MAX_LOG_RATIO", "Clip", "Loss", "Tokens", "bounded_ratio", "per_rollout"]

MAX_LOG_RATIO = 20.0
"""Bound of the log ratio; exp(20) = 4.9e8. Without a bound, a filtered token's 0 * inf would be nan."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """The N trainable tokens of R rollouts, one rollout after the other.

    Attributes:
        logprobs: [N] of the current policy in nats, with gradient.
        old_logprobs: [N] of the policy that sampled, no gradient.
        advantages: [N]; 0 where a token filter dropped the token.
        lengths: [R] trainable tokens of each rollout, dropped ones included; they sum to N.
    """

    logprobs: Tensor
    old_logprobs: Tensor
    advantages: Tensor
    lengths: Sequence[int]

    def __post_init__(self) -> None:
        assert sum(self.lengths) == self.logprobs.numel(), "the lengths must sum to the number of tokens"


@dataclass(frozen=True, slots=True)
class Clip:
    """The range of the ratio pi / pi_old.

    Attributes:
        low: How far it may fall below 1 for a negative advantage.
        high: How far it may rise above 1 for a positive advantage.
        dual: The largest ratio for a negative advantage (dual clip, arXiv 1912.09729), above 1; None: no bound.
    """

    low: float
    high: float
    dual: float | None = None


Loss = Callable[[Tokens, Clip], tuple[Tensor, Tensor]]
"""(tokens, clip) -> token losses [N], and [N] True where the token was clipped."""


def bounded_ratio(logprobs: Tensor, old_logprobs: Tensor) -> Tensor:
    """[N] the ratio pi / pi_old with its gradient; its logarithm is bounded by ``MAX_LOG_RATIO``."""
    return torch.exp((logprobs - old_logprobs).clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO))


def per_rollout(values: Tensor, lengths: Sequence[int], reduce: Callable[[Tensor], Tensor]) -> Tensor:
    """[N] the reduced value of each rollout, repeated for each of its tokens.

    Args:
        values: [N].
        lengths: [R], summing to N; ``reduce`` is not called for a rollout without tokens.
        reduce: [T] -> [], T at least 1.
    """
    parts = [part for part in torch.split(values, list(lengths)) if part.numel()]
    return torch.cat([values[:0], *(reduce(part).expand_as(part) for part in parts)])
