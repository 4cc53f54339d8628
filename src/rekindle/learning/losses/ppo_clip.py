"""PPO's clipped loss (arXiv 1707.06347): -min(rho * A, clip(rho, 1 - clip_low, 1 + clip_high) * A), rho = pi / pi_old.

``clip_high > clip_low`` is DAPO's clip-higher (arXiv 2503.14476).
"""

import torch
from torch import Tensor

from rekindle.learning.losses.tokens import MAX_LOG_RATIO, Tokens

__all__ = ["clipped_objective", "ppo_clip", "ppo_clip_tokens"]


def ppo_clip(
    logprobs: Tensor, old_logprobs: Tensor, advantages: Tensor, clip_low: float, clip_high: float
) -> tuple[Tensor, Tensor]:
    """The clipped loss of each token by its own ratio.

    Where ``old_logprobs`` is ``logprobs.detach()`` the ratio is exactly 1 and the gradient is that of -A * logprobs.

    Args:
        logprobs: [N] of the current policy, with gradient.
        old_logprobs: [N] of the policy that sampled, no gradient.
        advantages: [N].
        clip_low: How far the ratio may fall below 1 for a negative advantage.
        clip_high: How far the ratio may rise above 1 for a positive advantage.

    Returns:
        token losses [N], and [N] True where clipping stopped the token's gradient.
    """
    ratio = torch.exp((logprobs - old_logprobs).clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO))
    return clipped_objective(ratio, advantages, clip_low, clip_high)


def ppo_clip_tokens(tokens: Tokens, clip_low: float, clip_high: float) -> tuple[Tensor, Tensor]:
    """``ppo_clip`` in the shape of ``Loss``."""
    return ppo_clip(tokens.logprobs, tokens.old_logprobs, tokens.advantages, clip_low, clip_high)


def clipped_objective(ratio: Tensor, advantages: Tensor, clip_low: float, clip_high: float) -> tuple[Tensor, Tensor]:
    """The clipped loss for ratios [N] that carry the gradient; returns what ``ppo_clip`` returns."""
    clipped_ratio = ratio.clamp(1.0 - clip_low, 1.0 + clip_high)
    losses = -torch.minimum(ratio * advantages, clipped_ratio * advantages)
    too_high = (ratio > 1.0 + clip_high) & (advantages > 0)
    too_low = (ratio < 1.0 - clip_low) & (advantages < 0)
    return losses, (too_high | too_low).detach()
