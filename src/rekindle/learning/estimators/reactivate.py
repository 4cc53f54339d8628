"""RA, ERPO's reactivated training signal (arXiv 2511.04800): one virtual failure beside a group that has none.

The virtual rollout has reward 0, joins the comparison and is then dropped: it adds no tokens and no loss term. Of K
rollouts that are all correct every one then gets

    grpo 1 / sqrt(K)      dr_grpo 1 / (K + 1)      rloo, maxrl 1 / K

Meant for all-correct groups alone, which the caller picks: a mixed group has its contrast already, and in one that is
all wrong the virtual failure changes nothing (exact zeros).
"""

from collections.abc import Callable, Sequence

from rekindle.learning.estimators.grpo import grpo

__all__ = ["reactivate"]


def reactivate(rewards: Sequence[float], estimator: Callable[[Sequence[float]], list[float]] = grpo) -> list[float]:
    """Advantages [n] of one group's rewards [n] in the company of one virtual failure.

    Args:
        rewards: [n] of one group.
        estimator: A function that compares the rollouts of one group.
    """
    return estimator([*rewards, 0.0])[:-1]
