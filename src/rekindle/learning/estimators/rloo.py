"""RLOO (arXiv 2402.14740): A = K / (K - 1) * (r - mu), each reward minus the mean of the other K - 1.

Unbiased, since no rollout is in its own baseline. Equal rewards give exact zeros; a group of one gives [0.0].
"""

from collections.abc import Sequence

from rekindle.learning.estimators.dr_grpo import dr_grpo

__all__ = ["rloo"]


def rloo(rewards: Sequence[float]) -> list[float]:
    """Advantages [n] of one group's rewards [n]: each minus the mean of the others."""
    if len(rewards) <= 1:
        return [0.0] * len(rewards)
    scale = len(rewards) / (len(rewards) - 1)
    return [scale * advantage for advantage in dr_grpo(rewards)]
