"""KL penalty towards a reference policy, per token: k3 (Schulman, "Approximating KL divergence", 2020).

    d = log pi_ref - log pi         k3 = exp(d) - d - 1

Its mean under the policy is KL(pi || ref), and it is never negative. Its gradient, (1 - pi_ref / pi) grad log pi, is in
expectation not that of KL(pi || ref) but that of KL(ref || pi): the dependence of the sampled tokens on the policy is
missing. Times the ratio rho = pi / pi_old with its gradient (``corrected``, what TRL does by default) it is

    grad (rho k3) = rho (k3 + 1 - pi_ref / pi) grad log pi = rho log(pi / pi_ref) grad log pi

which is that of KL(pi || ref), for tokens sampled by pi_old.
"""

import torch
from torch import Tensor

from rekindle.learning.losses.tokens import MAX_LOG_RATIO, bounded_ratio

__all__ = ["corrected", "kl_k3"]


def kl_k3(logprobs: Tensor, reference_logprobs: Tensor) -> Tensor:
    """exp(d) - d - 1 with d = log pi_ref - log pi, as GRPO uses it (arXiv 2402.03300).

    Args:
        logprobs: [N] of the current policy, with gradient.
        reference_logprobs: [N] of the reference policy, no gradient.

    Returns:
        [N] nats.
    """
    difference = (reference_logprobs - logprobs).clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO)
    return torch.expm1(difference) - difference


def corrected(divergence: Tensor, logprobs: Tensor, old_logprobs: Tensor) -> Tensor:
    """The estimate times the ratio, whose gradient is that of KL(pi || ref).

    Args:
        divergence: [N] k3.
        logprobs: [N] of the current policy, with gradient.
        old_logprobs: [N] of the policy that sampled, no gradient.
    """
    return divergence * bounded_ratio(logprobs, old_logprobs)
