"""KL penalty towards a reference policy, per token."""

import torch
from torch import Tensor

from rekindle.learning.losses.tokens import MAX_LOG_RATIO

__all__ = ["kl_k3"]


def kl_k3(logprobs: Tensor, reference_logprobs: Tensor) -> Tensor:
    """exp(d) - d - 1 with d = log pi_ref - log pi: never negative, low variance, KL(pi || pi_ref) in expectation.

    The third of Schulman's estimators ("Approximating KL divergence", 2020), as GRPO uses it (arXiv 2402.03300).

    Args:
        logprobs: [N] of the current policy, with gradient.
        reference_logprobs: [N] of the reference policy, no gradient.

    Returns:
        [N] nats.
    """
    difference = (reference_logprobs - logprobs).clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO)
    return torch.expm1(difference) - difference
