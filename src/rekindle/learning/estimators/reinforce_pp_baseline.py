"""REINFORCE++-baseline (arXiv 2501.03262): x = r - mu_group, then A = (x - mean_batch(x)) / (std_batch(x) + eps).

Each prompt has its own baseline, and all prompts share one scale, so a nearly solved group gets no larger step. Mean
and standard deviation over the batch are over what the loss is a mean of (see ``batch_standardize``). In a mean over
rollouts or groups the centred rewards sum to 0, so that the batch's mean is 0 and a group of equal rewards gives exact
zeros. In a mean over tokens it is not 0 where rollouts differ in length. A group of equal rewards then has a small
advantage, as in verl, which balances the others. Groups of one always give exact zeros.
"""

from collections.abc import Sequence

from rekindle.learning.estimators.compared import Compared, Estimator, split_like, units_of
from rekindle.learning.estimators.dr_grpo import dr_grpo
from rekindle.learning.estimators.statistics import EPSILON, Deviation, standardize

__all__ = ["reinforce_pp_baseline"]


def reinforce_pp_baseline(deviation: Deviation = "population", epsilon: float = EPSILON) -> Estimator:
    """The estimator with a kind of standard deviation, and what is added to it."""

    def advantages(groups: Sequence[Compared]) -> list[list[float]]:
        centred = [value for group in groups for value in dr_grpo(group.rewards)]
        return split_like(groups, standardize(centred, units_of(groups), deviation, epsilon))

    return Estimator(
        advantages,
        "batch",
        "reward less the group's mean, divided by the batch's standard deviation (REINFORCE++-baseline)",
        needs_group=True,
    )
