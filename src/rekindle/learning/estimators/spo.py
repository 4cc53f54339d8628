"""SPO (arXiv 2509.13232): A = r - s / (s + f), then (A - mean) / (std + eps) over the batch.

s and f are the prompt's discounted counts of successes and failures before this visit. A prompt is compared with its
own past, so one rollout is enough. Assumes that the tracker follows the policy; a lag common to all prompts is removed
by the batch mean. A prompt without history (s + f = 0) has the batch's mean reward as baseline. A batch with equal
r - s / (s + f) gives exact zeros. Mean and standard deviation are over what the loss is a mean of (see
``batch_standardize``).
"""

from collections.abc import Sequence

from rekindle.learning.estimators.compared import Compared, Estimator, flatten, split_like, units_of
from rekindle.learning.estimators.statistics import EPSILON, Deviation, mean, standardize

__all__ = ["spo"]


def spo(deviation: Deviation = "population", epsilon: float = EPSILON) -> Estimator:
    """The estimator with a kind of standard deviation, and what is added to it; it reads the groups' Beta counts."""

    def advantages(groups: Sequence[Compared]) -> list[list[float]]:
        units = units_of(groups)
        unknown = mean(flatten(groups), units)
        surprises = [reward - _baseline(group, unknown) for group in groups for reward in group.rewards]
        return split_like(groups, standardize(surprises, units, deviation, epsilon))

    return Estimator(
        advantages,
        "batch",
        "reward less the prompt's own record of successes, standardised over the batch (SPO)",
        needs_binary_rewards=True,
        reads_history=True,
    )


def _baseline(group: Compared, unknown: float) -> float:
    visits = group.successes + group.failures
    return group.successes / visits if visits > 0 else unknown
