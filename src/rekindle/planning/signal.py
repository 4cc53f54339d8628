"""Expected groups with signal: of prompts with known success rates, of a profile, and of a step of a recipe."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rekindle.planning.simulated_policy import rise

__all__ = ["StepSignal", "beta_share", "counted_share", "expected_step"]


def counted_share(successes: Sequence[int], samples: int, size: int) -> float | None:
    """Expected share of groups of ``size`` with both right and wrong rollouts, without bias.

    Of k samples of a prompt, c right, a random n have only right ones with C(c, n) / C(k, n). None where there are
    fewer than ``size`` samples of a prompt.

    Args:
        successes: Right samples of each prompt.
        samples: Samples of each prompt, k.
        size: Group size, n.
    """
    if not 1 < size <= samples or not successes:
        return None
    every = math.comb(samples, size)
    shares = [1 - (math.comb(right, size) + math.comb(samples - right, size)) / every for right in successes]
    return sum(shares) / len(shares)


def beta_share(a: float, b: float, size: int) -> float:
    """1 - E[p^n] - E[(1 - p)^n] for success rates p ~ Beta(a, b): the share of groups of n with signal."""
    return 1 - _moment(a, b, size) - _moment(b, a, size)


def _moment(a: float, b: float, order: int) -> float:
    """E[p^order] of Beta(a, b)."""
    return math.prod((a + k) / (a + b + k) for k in range(order))


@dataclass(frozen=True, slots=True)
class StepSignal:
    """Expected numbers of a step.

    Attributes:
        asked: Groups rolled out.
        with_signal: Of these, groups with signal.
        trained: Groups in the update.
        rise: By how much the update raises the ability, in gains.
    """

    asked: float
    with_signal: float
    trained: float
    rise: float


def expected_step(groups: int, share: float, *, oversample: int = 1, further_rounds: int = 0) -> StepSignal:
    """Expected numbers of a step whose prompts have signal independently, with probability ``share`` each.

    The first draw has ``oversample * groups`` prompts. Further draws of ``groups`` prompts follow while fewer than
    ``groups`` have signal. At most ``groups`` are trained on.

    Args:
        groups: ``train.groups_per_step``, B.
        share: Probability that a group has signal.
        oversample: ``train.oversample``, k.
        further_rounds: ``refill.max_rounds``; 0 without refill.
    """
    drawn = oversample * groups
    asked = float(drawn)
    for _ in range(further_rounds):
        asked += groups * float(_chances(drawn, share)[:groups].sum())
        drawn += groups
    chances = _chances(drawn, share)
    trained = np.minimum(np.arange(drawn + 1), groups)
    return StepSignal(asked, asked * share, float(chances @ trained), float(chances @ rise(trained / groups)))


def _chances(draws: int, share: float) -> npt.NDArray[np.float64]:
    """[draws + 1] P(X = k) of X ~ Binomial(draws, share)."""
    if not 0 < share < 1:
        chances = np.zeros(draws + 1)
        chances[draws if share else 0] = 1.0
        return chances
    up = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, draws + 1)))])
    k = np.arange(draws + 1)
    logs = up[-1] - up - up[::-1] + k * math.log(share) + (draws - k) * math.log1p(-share)
    chances = np.exp(logs)
    return np.asarray(chances / chances.sum())
