"""Group sizes: rules for the number of rollouts of each prompt in a draw."""

from collections.abc import Callable
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from rekindle.scheduling.history import History
from rekindle.scheduling.weighted_rows import Rows
from rekindle.types import UserError

__all__ = ["GroupSize", "Rounding", "fixed", "inverse_success", "knapsack"]

Rounding = Literal["floor", "nearest", "ceil"]
"""How the logarithm of a group size becomes a whole number."""

_ROUND: dict[Rounding, Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]] = {
    "floor": np.floor,
    "nearest": np.rint,
    "ceil": np.ceil,
}


class GroupSize(Protocol):
    """Group size rule: sizes of all groups of a draw at once, so that a rule may distribute a budget."""

    def __call__(self, history: History, rows: Rows) -> list[int]:
        """[rows] rollouts for each prompt, at least 1 each."""
        ...


def fixed(n: int) -> GroupSize:
    """Rule: every group has ``n`` rollouts.

    Raises:
        ValueError: n is below 1.
    """
    if n < 1:
        raise ValueError(f"group size {n} is below 1; use at least 1, or 2 for group-relative advantages")
    return lambda history, rows: [n] * len(rows)


def inverse_success(minimum: int = 2, maximum: int = 8, rounding: Rounding = "floor") -> GroupSize:
    """clip(2^round(log2(1 / p)), minimum, maximum) with p the posterior mean success rate (sGPO's rule, 2606.08854).

    The positive advantage per rollout is largest at about 1 / p rollouts. The paper profiles once; here p is updated
    during the run. A prompt without visits has the prior's mean.

    Args:
        minimum: Smallest group, in rollouts.
        maximum: Largest group, in rollouts.
        rounding: Rounding of the logarithm.

    Raises:
        UserError: minimum is below 1, or above maximum.
    """
    _check_range(minimum, maximum)

    def sizes(history: History, rows: Rows) -> list[int]:
        p = np.maximum(history.posterior_mean(rows), 0.5 / maximum)
        found: list[int] = np.clip(np.exp2(_ROUND[rounding](-np.log2(p))), minimum, maximum).astype(int).tolist()
        return found

    return sizes


def knapsack(mean_size: float, minimum: int = 2, maximum: int = 128) -> GroupSize:
    """Knapsack RL (arXiv 2509.25849): distribute mean_size * prompts rollouts to the prompts of largest gain.

    Maximises sum_i v_i(N_i) with v(N) = (1 - p^N - (1-p)^N) * p * (1-p)^2, the probability of signal times the
    expected gain, subject to sum_i N_i = round(mean_size * prompts) and minimum <= N_i <= maximum. One more rollout
    adds p^2 (1-p)^3 (p^(N-1) + (1-p)^(N-1)), which falls with N: v is concave, so choosing the largest gains is
    optimal. Equal gains go to the prompts in the order drawn.

    Degenerate case: a prompt with p = 0 or 1 has no gain, and gets more than the minimum only where all others are at
    the maximum.

    Args:
        mean_size: Rollouts per prompt on average, the budget of a draw.
        minimum: Smallest group, in rollouts.
        maximum: Largest group, in rollouts.

    Raises:
        UserError: minimum, mean_size and maximum are not in this order, or minimum is below 1.
    """
    _check_range(minimum, maximum)
    if not minimum <= mean_size <= maximum:
        raise UserError(
            f"mean_size = {mean_size} rollouts per prompt does not fit groups of minimum = {minimum} to "
            f"maximum = {maximum}; give a mean_size between them, or widen them"
        )

    def sizes(history: History, rows: Rows) -> list[int]:
        extra = round(mean_size * len(rows)) - minimum * len(rows)
        gains = _gains(history.posterior_mean(rows), minimum, maximum)
        chosen = _largest(gains.ravel(), extra)
        found: list[int] = (minimum + np.bincount(chosen % max(1, len(rows)), minlength=len(rows))).tolist()
        return found

    return sizes


def _gains(p: npt.NDArray[np.float64], minimum: int, maximum: int) -> npt.NDArray[np.float64]:
    """[maximum - minimum, prompts] gain of one more rollout after N = minimum, ..., maximum - 1."""
    powers = np.arange(minimum - 1, maximum - 1)[:, None]
    scale = p**2 * (1 - p) ** 3
    return np.asarray(scale * (p**powers + (1 - p) ** powers))


def _largest(values: npt.NDArray[np.float64], count: int) -> Rows:
    """Indices of the ``count`` largest values; of equal values the first."""
    if not count:
        return np.empty(0, np.int64)
    threshold = np.partition(values, len(values) - count)[len(values) - count]
    above = np.flatnonzero(values > threshold)
    return np.concatenate([above, np.flatnonzero(values == threshold)[: count - len(above)]])


def _check_range(minimum: int, maximum: int) -> None:
    if not 1 <= minimum <= maximum:
        raise UserError(
            f"minimum = {minimum} and maximum = {maximum} must be ordered and at least 1; "
            "use 2 and 8 for group-relative advantages"
        )
