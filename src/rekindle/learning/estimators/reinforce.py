"""REINFORCE: the reward itself, or the reward minus the batch mean; no comparison within groups.

    reinforce       A_i = r_i
    batch_centred   A_i = r_i - mean of the batch, over what the loss is a mean of (see ``batch_standardize``)

Search self-play (arXiv 2510.18821) trains its proposer with the first: there is one proposal per seed, so there is no
group to compare within, and a reward of 0 (an invalid question) has no gradient. With the second, failures have a
gradient too. Degenerate case, all rewards equal: ``reinforce`` still pushes them up, ``batch_centred`` gives no
gradient.
"""

from collections.abc import Sequence

from rekindle.learning.estimators.statistics import all_equal, mean

__all__ = ["batch_centred", "reinforce"]


def reinforce(rewards: Sequence[float]) -> list[float]:
    """Advantages [M] of a batch's rewards [M]."""
    return list(rewards)


def batch_centred(rewards: Sequence[float], units: Sequence[float] | None = None) -> list[float]:
    """Advantages [M] of a batch's rewards [M] that count ``units`` [M] times; exactly 0 where all rewards are equal."""
    if all_equal(rewards):
        return [0.0] * len(rewards)
    centre = mean(rewards, units)
    return [reward - centre for reward in rewards]
