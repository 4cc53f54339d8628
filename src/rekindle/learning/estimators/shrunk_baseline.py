"""Shrunk baseline (ours): a prompt's own success rate, shrunk towards the batch mean by empirical Bayes.

    v = (s + k m) / (s + f + k)             baseline of a prompt
    x = r - v                               surprise
    A = (x - mean(x)) / (rms(x) + eps)      rms: root mean square over the batch, the deviation about the baselines

s and f are the prompt's (discounted) counts of successes and failures before this visit, m is the mean reward of the
batch, and k >= 0 is the weight of the batch mean in visits: v is the posterior mean of the prompt's success rate
under a Beta prior of mean m and strength k. k = 0 is SPO's tracker (arXiv 2509.13232), k -> infinity REINFORCE++'s
batch mean (arXiv 2501.03262). A prompt without history has v = m. One rollout per prompt is enough. All means are over
what the loss is a mean of (see ``batch_standardize``), so that the advantages that enter the loss sum to 0.

The baselines alone turn no prompt's gradient. For a baseline b that does not depend on rollout i itself,

    E[(r_i - b) grad log pi_i] = E[r_i grad log pi_i]

and v depends on rollout i only through m. With w = k / (s + f + k) and M rollouts that count alike its share is w / M,

    E[(r_i - v) grad log pi_i] = (1 - w / M) E[r_i grad log pi_i]

exactly. Subtracting mean(x) adds a dependence of order 1 / M, and removes what all prompts have in common: the lag of
the records behind a policy that improves, and in a mean over tokens the excess weight of the longer rollouts, which
are often the failures.

The scale is the deviation from the baselines, not from mean(x). The latter is almost zero for a batch in which all x
are similar (all correct at v = 0.9, say), and the advantages would be unbounded. With the former |A| <= sqrt(M). A
batch in which all x are equal gives zeros, up to rounding (1e-8).
"""

import math
from collections.abc import Sequence

from rekindle.learning.estimators.compared import Compared, Estimator, flatten, split_like, units_of
from rekindle.learning.estimators.statistics import EPSILON, mean, root_mean_square
from rekindle.types import UserError

__all__ = ["posterior_means", "shrunk_baseline"]


def shrunk_baseline(baseline_strength: float = 4.0) -> Estimator:
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
        units = units_of(groups)
        centre, scale = mean(surprises, units), root_mean_square(surprises, units) + EPSILON
        return split_like(groups, [(surprise - centre) / scale for surprise in surprises])

    return Estimator(
        advantages,
        "batch",
        "reward less the prompt's own record, shrunk towards the batch's mean (ours)",
        needs_binary_rewards=True,
        reads_history=True,
    )


def posterior_means(groups: Sequence[Compared], strength: float) -> list[float]:
    """The baselines v [B] of a batch's groups; the batch mean where a prompt has no history and k = 0."""
    batch_mean = mean(flatten(groups), units_of(groups))
    return [_posterior_mean(group, batch_mean, strength) for group in groups]


def _posterior_mean(group: Compared, prior_mean: float, strength: float) -> float:
    visits = group.successes + group.failures + strength
    return (group.successes + strength * prior_mean) / visits if visits > 0 else prior_mean
