"""PPO's clipped loss (arXiv 1707.06347): -min(rho * A, clip(rho, 1 - low, 1 + high) * A), rho = pi / pi_old.

``high > low`` is DAPO's clip-higher (arXiv 2503.14476). With a dual clip (arXiv 1912.09729) the loss of a token with a
negative advantage is at most -dual * A: a token that has become much more likely by accident cannot dominate the batch.
"""

import torch
from torch import Tensor

from rekindle.learning.losses.tokens import Clip, Tokens, bounded_ratio

__all__ = ["clipped_objective", "ppo_clip"]


def ppo_clip(tokens: Tokens, clip: Clip) -> tuple[Tensor, Tensor]:
    """The clipped loss of each token by its own ratio.

    Where ``old_logprobs`` is ``logprobs.detach()`` the ratio is exactly 1 and the gradient is that of -A * logprobs.

    Args:
        tokens: The trainable tokens.
        clip: The range of the ratio.

    Returns:
        token losses [N], and [N] True where clipping stopped the token's gradient.
    """
    return clipped_objective(bounded_ratio(tokens.logprobs, tokens.old_logprobs), tokens.advantages, clip)


def clipped_objective(ratio: Tensor, advantages: Tensor, clip: Clip) -> tuple[Tensor, Tensor]:
    """The clipped loss for ratios [N] that carry the gradient; returns what ``ppo_clip`` returns."""
    clipped_ratio = ratio.clamp(1.0 - clip.low, 1.0 + clip.high)
    stopped = ((ratio > 1.0 + clip.high) & (advantages > 0)) | ((ratio < 1.0 - clip.low) & (advantages < 0))
    if clip.dual is not None:
        stopped = stopped | ((ratio > clip.dual) & (advantages < 0))
        ratio = torch.where(advantages < 0, ratio.clamp(max=clip.dual), ratio)
    return -torch.minimum(ratio * advantages, clipped_ratio * advantages), stopped.detach()
