"""Correcting for tokens that another distribution sampled, by truncated importance weights."""

import torch
from torch import Tensor

__all__ = ["importance_weights"]


def importance_weights(logprobs: Tensor, behaviour_logprobs: Tensor, caps: Tensor) -> Tensor:
    """min(pi / behaviour, cap), a factor of each token's loss that carries no gradient.

    ERPO's correction for prompts sampled hotter than they are trained (arXiv 2511.04800): ``logprobs`` at the training
    temperature, ``behaviour_logprobs`` at the sampling temperature. The cap bounds the variance, at the price of a bias
    towards what the behaviour policy likes.

    Args:
        logprobs: [N] of the policy that is trained.
        behaviour_logprobs: [N] of the distribution that sampled.
        caps: [N] largest weight of each token; positive.

    Returns:
        [N] weights in [0, cap].
    """
    return torch.minimum(torch.exp(logprobs.detach() - behaviour_logprobs), caps)
