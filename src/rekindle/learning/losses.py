"""The loss of one token, on packed tensors: N trainable tokens of several rollouts, one after the other.

Nothing here averages; ``rekindle.learning.aggregation`` says how much each token weighs.
"""

import torch
from torch import Tensor

__all__ = ["kl_k3", "ppo_clip"]

MAX_LOG_RATIO = 20.0
"""exp(20) = 4.9e8 is already no estimate of anything; without a bound, a filtered token's 0 * inf would be nan."""


def ppo_clip(
    logprobs: Tensor, old_logprobs: Tensor, advantages: Tensor, clip_low: float, clip_high: float
) -> tuple[Tensor, Tensor]:
    """-min(rho * A, clip(rho, 1 - clip_low, 1 + clip_high) * A) with rho = pi / pi_old (arXiv 1707.06347).

    ``clip_high > clip_low`` is DAPO's clip-higher (arXiv 2503.14476). Where ``old_logprobs`` is ``logprobs.detach()``
    the ratio is exactly 1 and the gradient is that of -A * logprobs.

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
    clipped_ratio = ratio.clamp(1.0 - clip_low, 1.0 + clip_high)
    losses = -torch.minimum(ratio * advantages, clipped_ratio * advantages)
    too_high = (ratio > 1.0 + clip_high) & (advantages > 0)
    too_low = (ratio < 1.0 - clip_low) & (advantages < 0)
    return losses, (too_high | too_low).detach()


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
