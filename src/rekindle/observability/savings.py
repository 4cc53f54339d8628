"""What a run paid for a group with signal, against plain GRPO under the same policy.

Plain GRPO draws every prompt in turn, whatever its earlier outcomes. The prompts that a run draws for the first time
are such draws: nothing is known of them yet. Their share with signal, F, is measured in the run itself, step by step,
and with it what plain GRPO would have paid for the same groups:

    groups of plain GRPO at a step = (trained groups with different rewards at the step) / F

F of a step is that of the last first visits, at least ``WINDOW`` of them. Steps without enough recent first visits are
left out, because F of an earlier policy would be another one. A first visit with more rollouts than the group size
counts as the probability that a draw of so many of them has different rewards (unbiased: hypergeometric); one with
fewer is left out. What is compared is the cost of signal. It is not what the signal taught.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rekindle.observability.visits import Visits

__all__ = ["WINDOW", "Saving", "saving"]

WINDOW = 100
"""First visits from which the share with signal of a step is measured."""
RECENT = 0.1
"""Share of the run's steps that a window may reach back."""
RECENT_STEPS = 5
_Z = 1.96

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Saving:
    """Rollouts for the same groups with signal, over the steps that could be compared.

    Attributes:
        steps: Number of steps compared.
        signal: Trained groups with different rewards in these steps.
        rollouts: Rollouts of the run in these steps.
        baseline: Rollouts of plain GRPO for as many groups with signal.
        first_visits: Number of first visits measured.
        error: Relative standard error of ``baseline``.
    """

    steps: int
    signal: int
    rollouts: int
    baseline: float
    first_visits: int
    error: float

    @property
    def share(self) -> float:
        """Share of the baseline's rollouts that the run saved; negative where it paid more."""
        return 1 - self.rollouts / self.baseline

    def interval(self) -> tuple[float, float]:
        """95 % interval of ``share``, from the error of the baseline."""
        low, high = (max(1e-9, 1 + sign * _Z * self.error) for sign in (-1, 1))
        return 1 - self.rollouts / self.baseline / low, 1 - self.rollouts / self.baseline / high


def saving(visits: Visits, steps: int, group_size: int) -> Saving | None:
    """Compare a run with plain GRPO; None where no step can be compared.

    Args:
        visits: The solver's groups.
        steps: Number of steps of the run.
        group_size: Rollouts in a group of plain GRPO, at least 2.
    """
    known = visits.known
    first = known.by_prompt[known.starts[:-1][known.prompts.visits > 0]]
    first = first[known.n[first] >= group_size]
    chance = np.array([_mixed(*pair, group_size) for pair in _pairs(known, first)])
    found = _windows(known.step[first], chance, steps)
    is_signal = (known.outcome == 1) & (known.trained == 1)
    signal = np.bincount(known.step[is_signal], minlength=steps + 1)[: steps + 1]
    covered = np.flatnonzero(found > 0)
    if not len(covered) or not signal[covered].sum():
        return None
    spent = np.bincount(visits.step, visits.n, steps + 1)[covered]
    measured = int(np.isin(known.step[first], covered).sum())
    share = float(signal[covered].sum() / (signal[covered] / found[covered]).sum())
    return Saving(
        len(covered),
        int(signal[covered].sum()),
        int(spent.sum()),
        float(group_size * (signal[covered] / found[covered]).sum()),
        measured,
        math.sqrt((1 - share) / (share * max(1, measured))),
    )


def _pairs(known: Visits, places: NDArray[np.int64]) -> list[tuple[int, int]]:
    return list(zip(known.successes[places].tolist(), known.n[places].tolist(), strict=True))


def _mixed(successes: int, n: int, size: int) -> float:
    """Probability that ``size`` of ``n`` rollouts, drawn without replacement, have different outcomes."""
    whole = math.comb(n, size)
    return 1 - (math.comb(successes, size) + math.comb(n - successes, size)) / whole


def _windows(steps: NDArray[np.int64], chance: Floats, last: int) -> Floats:
    """[last + 1] mean chance of the last ``WINDOW`` first visits, or of the step's own; 0 where they are too old."""
    ends = np.searchsorted(steps, np.arange(last + 1), side="right")
    begins = np.searchsorted(steps, np.arange(last + 1), side="left")
    sums = np.concatenate([[0.0], np.cumsum(chance)])
    starts = np.minimum(begins, np.maximum(0, ends - WINDOW))
    counts = ends - starts
    oldest = np.where(counts > 0, steps[np.minimum(starts, len(steps) - 1)], 0) if len(steps) else np.zeros(last + 1)
    recent = np.arange(last + 1) - oldest <= max(RECENT_STEPS, RECENT * last)
    enough = (counts >= min(WINDOW, len(steps))) & recent & (np.arange(last + 1) > 0)
    means: Floats = np.where(enough, (sums[ends] - sums[starts]) / np.maximum(1, counts), 0.0)
    return means
