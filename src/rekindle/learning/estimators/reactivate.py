"""RA, ERPO's reactivated training signal (arXiv 2511.04800): one virtual failure added to a group without failures.

The virtual rollout has reward 0. It takes part in the comparison and is then dropped: it adds no tokens and no loss
term. With K rollouts, all correct, each gets

    grpo 1 / sqrt(K)      dr_grpo 1 / (K + 1)      rloo, maxrl 1 / K

Meant for all-correct groups only, which the caller selects: a mixed group has signal already, and in an all-wrong group
the virtual failure changes nothing (exact zeros).
"""

from collections.abc import Callable, Sequence

from rekindle.learning.estimators.grpo import grpo

__all__ = ["reactivate"]


def reactivate(rewards: Sequence[float], estimator: Callable[[Sequence[float]], list[float]] = grpo) -> list[float]:
    """Advantages [n] of one group's rewards [n] with one virtual failure added.

    Args:
        rewards: [n] of one group.
        estimator: A function that compares the rollouts of one group.
    """
    return estimator([*rewards, 0.0])[:-1]
