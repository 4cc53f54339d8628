"""REINFORCE++-baseline (arXiv 2501.03262): A = (r - mu_group) / (std_batch + eps), std over the batch of r - mu_group.

Each prompt has its own baseline, and all prompts share one scale, so a nearly solved group gets no larger step. The
centred rewards sum to zero in every group. Hence their standard deviation over the batch is their root mean square, and
subtracting the batch mean would change nothing. A group of equal rewards gives exact zeros; groups of one always do.
"""

from collections.abc import Sequence

from rekindle.learning.estimators.compared import Compared, split_like
from rekindle.learning.estimators.dr_grpo import dr_grpo
from rekindle.learning.estimators.statistics import EPSILON, root_mean_square

__all__ = ["reinforce_pp_baseline"]


def reinforce_pp_baseline(groups: Sequence[Compared]) -> list[list[float]]:
    """Advantages [B][n] of a batch's groups."""
    centred = [advantage for group in groups for advantage in dr_grpo(group.rewards)]
    unit = root_mean_square(centred) + EPSILON
    return split_like(groups, [advantage / unit for advantage in centred])
