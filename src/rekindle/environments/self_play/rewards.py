"""Reward of the proposer for a valid question. The reward of an invalid one is 0, never less.

Search self-play (arXiv 2510.18821), with s the mean success of the solver on the question:

    difficulty      1 - s
    intermediate    4 (low + s) (high - s), at least 0; the released code gives 0 at s = 0 and s = 1 whatever the bounds

A negative reward for invalid questions collapsed training: hardly any question was valid in the end. Degenerate case:
under ``difficulty`` a question that the solver never solves has the highest reward; only the RAG check then shows that
its answer can be found.
"""

from collections.abc import Callable
from typing import Literal

__all__ = ["ProposerReward", "difficulty", "intermediate", "proposer_reward"]

ProposerReward = Callable[[float], float]
"""The solver's mean success, in [0, 1] -> a reward of at least 0."""


def difficulty(success: float) -> float:
    """1 - s."""
    return 1.0 - success


def intermediate(success: float, low: float = 0.0, high: float = 1.0, *, extremes: bool = True) -> float:
    """4 (low + s) (high - s); with the defaults 1 at s = 1/2, and 0 at s = 0 and s = 1.

    Args:
        success: s.
        low: Bound that makes the reward at s = 0 positive.
        high: Success at which the reward is 0.
        extremes: Whether the formula holds at s = 0 and s = 1 too; False: the reward is 0 there.
    """
    if not extremes and success in (0.0, 1.0):
        return 0.0
    return max(0.0, 4.0 * (low + success) * (high - success))


def proposer_reward(
    kind: Literal["difficulty", "intermediate"], low: float, high: float, *, extremes: bool = True
) -> ProposerReward:
    """The reward of a configuration."""
    if kind == "difficulty":
        return difficulty
    return lambda success: intermediate(success, low, high, extremes=extremes)
