"""Priorities: draw weights per prompt, from the posterior of its success rate.

**Why the chance of signal.** In every group-relative method a group carries signal exactly when its rewards are not all
equal. A group costs the same with or without signal, so a budget buys the most groups with signal where the chance of
signal is largest. With success rate p and K rollouts that chance is 1 - p^K - (1-p)^K. The posterior of p is
Beta(a, b), and as E is linear the chance under the posterior is

    P(signal) = 1 - E[p^K] - E[(1-p)^K],    E[p^K] = prod_{j<K} (a + j) / (a + b + j),    and for 1 - p with b.

It is the exact predictive probability, not the chance at the mean rate. A prompt with two unanimous visits keeps a high
chance, one with twenty does not, and no separate exploration bonus is needed.

**Related methods are settings.** The chance falls as |p - 1/2| grows, for every K >= 2. Hence ranking by it is ranking
by the distance to 1/2, and MoPPS (arXiv 2507.04632: one Thompson sample per prompt, take those nearest to 1/2) is
``estimate="sample"`` with the pool's ``select="best"`` and ``floor=0``. With ``sharpness=0`` all weights are exactly 1,
which is GRPO's uniform draw. SPO (arXiv 2509.13232) draws by ``uncertainty``.
"""

from collections.abc import Callable
from typing import Literal

import numpy as np
import numpy.typing as npt

from rekindle.scheduling.arguments import check_bounds
from rekindle.scheduling.history import History
from rekindle.scheduling.temperatures import Temperature
from rekindle.types import UserError

__all__ = ["Priority", "signal_chance", "uncertainty", "uniform"]

_Column = npt.NDArray[np.float64]
Priority = Callable[[History, np.random.Generator], _Column]
"""(history, generator) -> [prompts] non-negative weights; only their ratios matter."""

_BLOCK = 8192
"""Rows per block, so that the columns of a block stay in the processor's cache."""
_NO_EVIDENCE = 1e-9
"""Replaces a count of 0 (prior 0 and no visits), because a Beta distribution needs positive counts."""


def uniform() -> Priority:
    """Priority: every prompt has weight 1."""
    return lambda history, rng: np.ones(len(history))


def uncertainty(offset: float = 0.05) -> Priority:
    """sqrt(m (1 - m)) + offset with m the posterior mean: the std of one rollout's reward (SPO, arXiv 2509.13232)."""
    check_bounds("SPO uses 0.05", ge=0, offset=offset)

    def weights(history: History, rng: np.random.Generator) -> _Column:
        m = history.posterior_mean()
        return np.sqrt(m * (1 - m)) + offset

    return weights


def signal_chance(
    group_size: int,
    temperature: Temperature,
    *,
    estimate: Literal["mean", "sample"] = "mean",
    floor: float = 0.05,
    sharpness: float = 1.0,
) -> Priority:
    """max(floor, P(signal))^sharpness; the module docstring has the formula and its derivation.

    Counts from temperature t are shifted for a visit at another temperature T: the posterior mean m moves to m' with
    logit(m') = logit(m) * t / T, at equal strength a + b. This is exact for two outcomes whose logits scale with 1 / T,
    as in a softmax. A rollout has more than two outcomes, so it is a first approximation of the right sign: a raised
    temperature moves a solved prompt towards 1/2.

    Args:
        group_size: K, rollouts per visit, at least 2.
        temperature: Temperature of the next visits.
        estimate: The chance under the posterior ("mean"), or at one success rate sampled from it ("sample").
        floor: Smallest chance, so that every prompt is visited now and then.
        sharpness: Exponent; 0 makes every weight exactly 1.

    Raises:
        UserError: An argument is outside its bounds.
    """
    if group_size < 2:
        raise UserError(
            f"group_size = {group_size} is a group without signal; "
            "raise it, or use the uncertainty priority for single rollouts"
        )
    check_bounds("give a probability, e.g. 0.05", ge=0, le=1, floor=floor)
    check_bounds("give 1 for the chance itself", ge=0, sharpness=sharpness)

    def weights(history: History, rng: np.random.Generator) -> _Column:
        if not sharpness:
            return np.ones(len(history))
        belief = history.belief
        of_prior = _predictive(np.array([belief.prior_successes]), np.array([belief.prior_failures]), group_size)
        out = np.full(len(history), max(floor, of_prior.item()))
        for start in range(0, len(out), _BLOCK):
            rows = np.arange(start, min(start + _BLOCK, len(out)))
            if estimate == "mean":
                rows = history.known(rows)
            next_at = temperature.column(history, rows).astype(np.float32)
            a, b = _at_temperature(*history.posterior(rows), history.temperature[rows], next_at)
            chance = _predictive(a, b, group_size) if estimate == "mean" else _sampled(a, b, group_size, rng)
            out[rows] = np.maximum(chance, floor)
        if sharpness != 1:
            out **= sharpness
        return out

    return weights


def _at_temperature(
    a: _Column, b: _Column, seen_at: npt.NDArray[np.float32], next_at: npt.NDArray[np.float32]
) -> tuple[_Column, _Column]:
    """Beta counts shifted from the temperature of the last visit to that of the next; rows without visits stay."""
    differ = np.flatnonzero((seen_at != next_at) & (seen_at > 0) & (a + b > 0))
    if len(differ):
        # logit(m') = logit(m) r  <=>  m' = a^r / (a^r + b^r)
        ratio = (seen_at[differ] / next_at[differ]).astype(np.float64)
        strength, wins, losses = (a + b)[differ], a[differ] ** ratio, b[differ] ** ratio
        a[differ] = strength * (wins / (wins + losses))
        b[differ] = strength * (losses / (wins + losses))
    return a, b


def _predictive(a: _Column, b: _Column, group_size: int) -> _Column:
    """1 - E[p^K] - E[(1-p)^K] under Beta(a, b)."""
    a, b = np.maximum(a, _NO_EVIDENCE), np.maximum(b, _NO_EVIDENCE)
    all_correct, all_wrong, strength = np.ones(len(a)), np.ones(len(a)), a + b
    for j in range(group_size):
        share = 1.0 / (strength + j)
        all_correct *= (a + j) * share
        all_wrong *= (b + j) * share
    return 1.0 - all_correct - all_wrong


def _sampled(a: _Column, b: _Column, group_size: int, rng: np.random.Generator) -> _Column:
    """1 - p^K - (1-p)^K at one p ~ Beta(a, b) per prompt."""
    p = rng.beta(np.maximum(a, _NO_EVIDENCE), np.maximum(b, _NO_EVIDENCE))
    chance: _Column = 1.0 - p**group_size - (1.0 - p) ** group_size
    return chance
