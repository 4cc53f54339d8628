"""Truncated importance weights, for tokens that were sampled from another distribution."""

import torch
from torch import Tensor

__all__ = ["importance_weights"]


def importance_weights(logprobs: Tensor, behaviour_logprobs: Tensor, caps: Tensor) -> Tensor:
    """min(pi / behaviour, cap), a factor of each token's loss that carries no gradient.

    ERPO's correction for sampling above the training temperature (arXiv 2511.04800): ``logprobs`` at the training
    temperature, ``behaviour_logprobs`` at the sampling temperature. The cap bounds the variance, at the price of a bias
    towards the behaviour policy.

    Args:
        logprobs: [N] of the trained policy.
        behaviour_logprobs: [N] of the sampling distribution.
        caps: [N] largest weight of each token; positive.

    Returns:
        [N] weights in [0, cap].
    """
    return torch.minimum(torch.exp(logprobs.detach() - behaviour_logprobs), caps)
