"""CISPO (arXiv 2506.13585): -sg[min(rho, 1 + clip_high)] * A * log pi, rho = pi / pi_old.

The weight is clipped, not the token: every token keeps its gradient, rare and pivotal ones too, which PPO's clip
silences after the first step. The weight has no lower bound, as in the paper, so ``clip_low`` is not read; a token that
the policy has turned away from counts less by itself.
"""

import torch
from torch import Tensor

from rekindle.learning.losses.tokens import Tokens

__all__ = ["cispo"]


def cispo(tokens: Tokens, clip_low: float, clip_high: float) -> tuple[Tensor, Tensor]:
    """The REINFORCE loss of each token, weighted by its bounded ratio.

    Where ``old_logprobs`` is ``logprobs.detach()`` the weight is exactly 1 and the loss is -A * logprobs.

    Args:
        tokens: What is trained.
        clip_low: Not read: the weight has no lower bound. It is here because every ``Loss`` takes it.
        clip_high: The weight is at most 1 + clip_high, whatever the advantage's sign.

    Returns:
        token losses [N], and [N] True where the weight was bounded; such a token keeps its gradient.
    """
    ratio = torch.exp(tokens.logprobs.detach() - tokens.old_logprobs)
    weight = ratio.clamp(max=1.0 + clip_high)
    return -weight * tokens.advantages * tokens.logprobs, ratio > 1.0 + clip_high
