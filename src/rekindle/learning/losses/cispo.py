"""CISPO (arXiv 2506.13585): -sg[min(rho, 1 + high)] * A * log pi, rho = pi / pi_old.

The weight is clipped, not the token: every token keeps its gradient. PPO's clip would remove it from rare and pivotal
tokens after the first step. As in the paper, the weight has no lower bound, so ``clip.low`` is not read; a token that
has become less likely has a small weight anyway.
"""

import torch
from torch import Tensor

from rekindle.learning.losses.tokens import Clip, Tokens

__all__ = ["cispo"]


def cispo(tokens: Tokens, clip: Clip) -> tuple[Tensor, Tensor]:
    """The REINFORCE loss of each token, weighted by its bounded ratio.

    Where ``old_logprobs`` is ``logprobs.detach()`` the weight is exactly 1 and the loss is -A * logprobs.

    Args:
        tokens: The trainable tokens.
        clip: The weight is at most 1 + clip.high, for either sign of the advantage. The other bounds are not read.

    Returns:
        token losses [N], and [N] True where the weight was bounded; such a token keeps its gradient.
    """
    ratio = torch.exp(tokens.logprobs.detach() - tokens.old_logprobs)
    weight = ratio.clamp(max=1.0 + clip.high)
    return -weight * tokens.advantages * tokens.logprobs, ratio > 1.0 + clip.high
