"""Subsets: the rollouts of a group that are trained on, when more were sampled than an update can use.

PODS maximises the reward variance; Reinforce-Ada keeps as many right answers as wrong ones. Both return the indices of
the chosen rollouts in ascending order, or all indices when the group is not larger than the subset. Of rollouts with
equal rewards the first sampled are chosen.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

from rekindle.types import UserError

__all__ = ["Subset", "balanced", "max_variance"]


@dataclass(frozen=True, slots=True)
class Subset:
    """A rule that trains on some rollouts of a group; PODS: ``Subset(lambda rs: max_variance(rs, 4), "selected")``.

    Attributes:
        choose: rewards [n] -> ascending indices of the rollouts to train on.
        baseline: The rewards that advantages are computed from. "selected": those of the chosen rollouts (PODS).
            "all": those of all rollouts sampled (Reinforce-Ada).
    """

    choose: Callable[[Sequence[float]], list[int]]
    baseline: Literal["selected", "all"]


def max_variance(rewards: Sequence[float], size: int) -> list[int]:
    """The subset of maximal reward variance (PODS, arXiv 2504.13818).

    Such a subset consists of the i highest and the size - i lowest rewards for some i; of several best i the smallest
    is taken. O(n log n).

    Args:
        rewards: [n].
        size: How many rollouts to keep; at least 1.

    Raises:
        UserError: ``size`` is less than 1.
    """
    _check_size(size)
    if size >= len(rewards):
        return list(range(len(rewards)))
    falling = sorted(range(len(rewards)), key=lambda index: -rewards[index])
    highest = falling[: _best_split([rewards[index] for index in falling], size)]
    rest = sorted(falling[len(highest) :], key=lambda index: (rewards[index], index))
    return sorted(highest + rest[: size - len(highest)])


def balanced(rewards: Sequence[float], size: int, success_at: float = 0.5) -> list[int]:
    """Half successes and half failures (Reinforce-Ada, arXiv 2510.04996).

    Where one side has too few, the other fills up. For an odd size there is one failure more.

    Args:
        rewards: [n].
        size: How many rollouts to keep; at least 1.
        success_at: A reward of at least this much is a success.

    Raises:
        UserError: ``size`` is less than 1.
    """
    _check_size(size)
    if size >= len(rewards):
        return list(range(len(rewards)))
    right = [index for index, reward in enumerate(rewards) if reward >= success_at]
    wrong = [index for index, reward in enumerate(rewards) if not reward >= success_at]
    take = min(len(right), max(size // 2, size - len(wrong)))
    return sorted(right[:take] + wrong[: size - take])


def _best_split(falling: Sequence[float], size: int) -> int:
    """The number of highest rewards in the subset of maximal variance; rewards in falling order, more than size."""
    # Centred first, so that sum of squares - (sum)^2 / size does not cancel for rewards far from zero.
    centre = sum(falling) / len(falling)
    centred = [reward - centre for reward in falling]
    sums = list(accumulate(centred, initial=0.0))
    squares = list(accumulate((value**2 for value in centred), initial=0.0))

    def scatter(highest: int) -> float:
        first_low = len(falling) - (size - highest)
        total = sums[highest] + sums[-1] - sums[first_low]
        return squares[highest] + squares[-1] - squares[first_low] - total**2 / size

    return max(range(size + 1), key=scatter)


def _check_size(size: int) -> None:
    if size < 1:
        raise UserError(f"a subset of a group needs at least one rollout, and size is {size}; give 1 or more")
