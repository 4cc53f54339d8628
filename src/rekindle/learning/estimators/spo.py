"""SPO (arXiv 2509.13232): A = r - s / (s + f), then (A - mean) / (std + eps) over the batch.

s and f are the prompt's discounted counts of successes and failures before this visit. A prompt is compared with its
own past, so one rollout is enough. Assumes that the tracker follows the policy; a lag common to all prompts is removed
by the batch mean. A prompt without history (s + f = 0) has the batch's mean reward as baseline. A batch with equal
r - s / (s + f) gives exact zeros.
"""

from collections.abc import Sequence

from rekindle.learning.estimators.compared import Compared, flatten, split_like
from rekindle.learning.estimators.statistics import mean, standardize

__all__ = ["spo"]


def spo(groups: Sequence[Compared]) -> list[list[float]]:
    """Advantages [B][n] of a batch's groups; reads their Beta counts."""
    unknown = mean(flatten(groups))
    surprises = [reward - _baseline(group, unknown) for group in groups for reward in group.rewards]
    return split_like(groups, standardize(surprises))


def _baseline(group: Compared, unknown: float) -> float:
    visits = group.successes + group.failures
    return group.successes / visits if visits > 0 else unknown
