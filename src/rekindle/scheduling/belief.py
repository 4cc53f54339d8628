"""The Beta posterior of a prompt's success rate, and the discount of old counts as the policy changes."""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from rekindle.scheduling.arguments import check_bounds
from rekindle.types import UserError

__all__ = ["Belief"]

_Moved = TypeVar("_Moved", float, npt.NDArray[np.float64])


@dataclass(frozen=True, slots=True)
class Belief:
    """Settings of a prompt's Beta posterior: the prior, and the discount of counts.

    A prompt's posterior is Beta(prior_successes + s, prior_failures + f), where s and f are counts of its rollouts. A
    count is evidence about the policy that was sampled, so it is discounted in two places: permanently at each visit
    (``discount``), and temporarily when the counts are read (``staleness``). The prior is not discounted.

    By default nothing is discounted. MoPPS (arXiv 2507.04632) with its lambda is ``Belief(1, 1, least=lambda,
    most=lambda)``, a constant discount per visit. SPO (arXiv 2509.13232) is ``Belief(0, 0, half_life=0.06, least=0.875,
    most=0.96)`` with counts primed from a first pass.

    Attributes:
        prior_successes: Prior count of successes.
        prior_failures: Prior count of failures.
        half_life: Movement of the policy that halves a count, in nats of mean |change of log p| per token; None: the
            policy's movement is not read.
        least: Smallest factor of the counts at a visit.
        most: Largest factor of the counts at a visit.
    """

    prior_successes: float = 0.5
    prior_failures: float = 0.5
    half_life: float | None = None
    least: float = 0.0
    most: float = 1.0

    def __post_init__(self) -> None:
        check_bounds(
            "give a count; 0.5 each is Jeffreys' prior",
            ge=0,
            prior_successes=self.prior_successes,
            prior_failures=self.prior_failures,
        )
        if self.half_life is not None:
            check_bounds("leave it out for no discount", gt=0, half_life=self.half_life)
        if not 0 <= self.least <= self.most <= 1:
            raise UserError(
                f"least = {self.least} and most = {self.most} must be ordered inside [0, 1]; give 0 and 1 for an "
                "unbounded discount"
            )

    def discount(self, moved: float) -> float:
        """Factor of the counts at a visit, ``moved`` nats after the one before: 2^(-moved / half_life), bounded."""
        return min(max(self.staleness(moved), self.least), self.most)

    def staleness(self, moved: _Moved) -> _Moved:
        """Factor of the counts when they are read, ``moved`` nats after the last visit: 2^(-moved / half_life)."""
        return moved * 0.0 + 1.0 if self.half_life is None else 2.0 ** (-moved / self.half_life)
