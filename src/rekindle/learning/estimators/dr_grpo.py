"""Dr. GRPO (arXiv 2503.20783): A = r - mu over one group.

GRPO without the division, which overweights nearly solved and nearly unsolved prompts. Meant for the
``constant_length`` aggregation. Equal rewards, and so a group of one, give exact zeros.
"""

from collections.abc import Sequence

from rekindle.learning.estimators.statistics import all_equal, mean

__all__ = ["dr_grpo"]


def dr_grpo(rewards: Sequence[float]) -> list[float]:
    """Advantages [n] of one group's rewards [n]: centred on the group mean, in units of the reward."""
    if all_equal(rewards):
        return [0.0] * len(rewards)
    centre = mean(rewards)
    return [reward - centre for reward in rewards]
