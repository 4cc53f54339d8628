"""The input and signature of a token loss, and reductions over the tokens of a rollout."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["MAX_LOG_RATIO", "Loss", "Tokens", "per_rollout"]

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


Loss = Callable[[Tokens, float, float], tuple[Tensor, Tensor]]
"""(tokens, clip_low, clip_high) -> token losses [N], and [N] True where the token was clipped."""


def per_rollout(values: Tensor, lengths: Sequence[int], reduce: Callable[[Tensor], Tensor]) -> Tensor:
    """[N] the reduced value of each rollout, repeated for each of its tokens.

    Args:
        values: [N].
        lengths: [R], summing to N; ``reduce`` is not called for a rollout without tokens.
        reduce: [T] -> [], T at least 1.
    """
    parts = [part for part in torch.split(values, list(lengths)) if part.numel()]
    return torch.cat([values[:0], *(reduce(part).expand_as(part) for part in parts)])
