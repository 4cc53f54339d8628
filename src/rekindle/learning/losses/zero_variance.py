"""RL-ZVP (arXiv 2509.21880): a group whose rewards are all equal trains too, guided by entropy.

With H the entropy of the policy's distribution at a token and a > 0 a strength,

    all correct:  A_t = +a * H_t                  reinforce where the policy was undecided
    all wrong:    A_t = -a * (max over the rollout of H - H_t)    punish where it was sure, spare where it explored

H is no function of the gradient. Where the policy is sure of every token an all-correct rollout has advantage 0, and
where it is equally sure of all of them an all-wrong one has.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from rekindle.learning.losses.tokens import per_rollout

__all__ = ["entropy_advantages"]


def entropy_advantages(entropies: Tensor, lengths: Sequence[int], scales: Sequence[float]) -> Tensor:
    """Advantages of the tokens of zero-variance groups.

    Args:
        entropies: [N] nats, of the trainable tokens of R rollouts, one rollout after the other; detached here.
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
