"""GSPO (arXiv 2507.18071): PPO's clip on the ratio of the whole sequence, length-normalised.

    s = exp(mean over the rollout's trainable tokens of (log pi - log pi_old))
    loss_t = -min(s_t * A_t, clip(s_t, 1 - low, 1 + high) * A_t),   s_t = sg[s] * pi_t / sg[pi_t]

This is the paper's token form: s_t has the value of s, and the gradient of token t alone. With the ``sequence_mean``
aggregation a rollout's token losses average to the sequence loss. For an advantage that is constant over the rollout
the gradient is the paper's, sg[s] * A * (mean over t of grad log pi_t). Using s itself on every token would then give
the same gradient, but would spread each token's advantage over all tokens, also over those dropped by a token filter.
The paper clips at 3e-4 below and 4e-4 above 1: a mean of many small differences changes little.
"""

import torch
from torch import Tensor

from rekindle.learning.losses.ppo_clip import clipped_objective
from rekindle.learning.losses.tokens import MAX_LOG_RATIO, Clip, Tokens, per_rollout

__all__ = ["gspo"]


def gspo(tokens: Tokens, clip: Clip) -> tuple[Tensor, Tensor]:
    """The clipped loss of each token by its rollout's ratio.

    Where ``old_logprobs`` is ``logprobs.detach()`` the ratio is exactly 1 and the gradient is that of -A * logprobs.

    Args:
        tokens: The trainable tokens. Tokens dropped by a filter (advantage 0) count in a rollout's ratio.
        clip: The range of the sequence's ratio. There is no dual clip.

    Returns:
        token losses [N], and [N] True where clipping stopped the token's gradient.
    """
    fixed = tokens.logprobs.detach()
    log_ratio = per_rollout(fixed - tokens.old_logprobs, tokens.lengths, torch.mean)
    sequence_ratio = torch.exp(log_ratio.clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO))
    ratio = sequence_ratio * torch.exp(tokens.logprobs - fixed)
    return clipped_objective(ratio, tokens.advantages, clip)
