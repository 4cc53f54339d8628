"""RL-ZVP (arXiv 2509.21880): entropy-guided advantages for groups with equal rewards.

With H the entropy of the policy's distribution at a token and a > 0 a strength,

    all correct:  A_t = +a * H_t                                  reinforces tokens of high entropy
    all wrong:    A_t = -a * (max over the rollout of H - H_t)    penalises tokens of low entropy

H carries no gradient. An all-correct rollout whose entropies are all 0 has advantage 0; so has an all-wrong rollout
whose entropies are all equal.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from rekindle.learning.losses.tokens import per_rollout

__all__ = ["entropy_advantages"]


def entropy_advantages(entropies: Tensor, lengths: Sequence[int], scales: Sequence[float]) -> Tensor:
    """Advantages of the tokens of zero-variance groups.

    Args:
        entropies: [N] nats, at the trainable tokens of R rollouts, one rollout after the other; detached here.
        lengths: [R] trainable tokens of each rollout; they sum to N.
        scales: [R] +a for a rollout of an all-correct group, -a for one of an all-wrong group, 0 for any other.

    Returns:
        [N] advantages without gradient; 0 where the scale is 0.
    """
    fixed = entropies.detach()
    per_token = [scale for scale, length in zip(scales, lengths, strict=True) for _ in range(length)]
    scale = fixed.new_tensor(per_token)
    shortfall = per_rollout(fixed, lengths, torch.amax) - fixed
    return scale * torch.where(scale > 0, fixed, shortfall)
