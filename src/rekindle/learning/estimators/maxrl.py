"""MaxRL (arXiv 2602.02710): A = (r - mu) / mu over one group.

The gradient of log p instead of p, so that rare successes weigh the most. In expectation the mean over K rollouts of
A * grad log pi is grad p * [1 + q + ... + q^(K-2)] with q = 1 - p: the first K - 1 terms of grad log p = grad p / p.
Assumes rewards of at least 0, since mu estimates a probability. Equal rewards give exact zeros, also in a group without
success.
"""

from collections.abc import Sequence

from rekindle.learning.estimators.dr_grpo import dr_grpo
from rekindle.learning.estimators.statistics import mean
from rekindle.types import UserError

__all__ = ["maxrl"]


def maxrl(rewards: Sequence[float]) -> list[float]:
    """Advantages [n] of one group's rewards [n]: centred on the group mean, in units of that mean.

    Raises:
        UserError: A reward is negative.
    """
    if min(rewards, default=0.0) < 0:
        raise UserError(
            f"the maxrl estimator divides by a group's mean reward, and a reward is {min(rewards)}; "
            "let the verifier return rewards of at least 0, or use the grpo estimator"
        )
    centre = mean(rewards)
    if centre == 0:
        return [0.0] * len(rewards)
    return [advantage / centre for advantage in dr_grpo(rewards)]
