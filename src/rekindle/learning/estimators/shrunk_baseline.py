"""Shrunk baseline (ours): a prompt's own success rate, shrunk towards the batch mean by empirical Bayes.

    v = (s + k m) / (s + f + k)          baseline of a prompt
    A = (r - v) / (rms(r - v) + eps)     rms: root mean square over the batch, the deviation about the baselines

s and f are the prompt's (discounted) counts of successes and failures before this visit, m is the mean reward of the
batch, and k >= 0 is the weight of the batch mean in visits: v is the posterior mean of the prompt's success rate
under a Beta prior of mean m and strength k. k = 0 is SPO's tracker (arXiv 2509.13232), k -> infinity REINFORCE++'s
batch mean (arXiv 2501.03262). A prompt without history has v = m. One rollout per prompt is enough.

A is not centred again, for this reason. For a baseline b that does not depend on rollout i itself,

    E[(r_i - b) grad log pi_i] = E[r_i grad log pi_i]

and v depends on rollout i only through m. With w = k / (s + f + k) and M rollouts in the batch its share is w / M, so

    E[(r_i - v) grad log pi_i] = (1 - w / M) E[r_i grad log pi_i]

exactly: no prompt's gradient changes direction, and none shrinks by more than 1 / M. Centring would replace v by
v + (m - mean of v). That would undo the weighting of m against each prompt's history, and the random rewards of other
prompts would change a prompt's advantage. As k -> infinity mean(r - v) is 0 anyway.

The scale is the deviation from the baselines, not from the mean of r - v. The latter is almost zero for a batch in
which all r - v are similar (all correct at v = 0.9, say), and without centring its advantages would be unbounded. With
the former |A| <= sqrt(M). A batch in which every reward equals its baseline gives zeros, up to rounding (1e-8).
"""

import math
from collections.abc import Sequence

from rekindle.learning.estimators.compared import Compared, Estimator, flatten, split_like
from rekindle.learning.estimators.statistics import EPSILON, mean, root_mean_square
from rekindle.types import UserError

__all__ = ["posterior_means", "shrunk_baseline"]


def shrunk_baseline(baseline_strength: float) -> Estimator:
    """The estimator whose baselines are shrunk with the given strength.

    Args:
        baseline_strength: k, in visits; at least 0 and finite.

    Raises:
        UserError: The strength is negative or not finite.
    """
    if not (baseline_strength >= 0 and math.isfinite(baseline_strength)):
        raise UserError(
            f"shrunk_baseline weighs the batch's mean as {baseline_strength} visits; give a finite number of at "
            "least 0, or use batch_standardize for a baseline that is the batch's mean alone"
        )

    def advantages(groups: Sequence[Compared]) -> list[list[float]]:
        baselines = posterior_means(groups, baseline_strength)
        surprises = [
            reward - baseline for group, baseline in zip(groups, baselines, strict=True) for reward in group.rewards
        ]
        unit = root_mean_square(surprises) + EPSILON
        return split_like(groups, [surprise / unit for surprise in surprises])

    return Estimator(
        advantages,
        "batch",
        "reward less the prompt's own record, shrunk towards the batch's mean (ours)",
        needs_binary_rewards=True,
        reads_history=True,
        parameters=("baseline_strength",),
        build=shrunk_baseline,
    )


def posterior_means(groups: Sequence[Compared], strength: float) -> list[float]:
    """The baselines v [B] of a batch's groups; the batch mean where a prompt has no history and k = 0."""
    batch_mean = mean(flatten(groups))
    return [_posterior_mean(group, batch_mean, strength) for group in groups]


def _posterior_mean(group: Compared, prior_mean: float, strength: float) -> float:
    visits = group.successes + group.failures + strength
    return (group.successes + strength * prior_mean) / visits if visits > 0 else prior_mean
