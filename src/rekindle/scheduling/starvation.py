"""Starvation watch: detects pools in which few prompts with signal are left.

A pool from which only trained prompts leave ends up with mostly prompts without signal.
"""

from collections import deque
from collections.abc import Mapping
from typing import Any

from rekindle.scheduling.pools import Pool

__all__ = ["STARVATION_STEPS", "StarvationWatch", "starves"]

STARVATION_STEPS = 8
"""Steps in a row whose mean decides whether a pool starves."""
BELOW = 0.25


def starves(trained: float, wanted: float) -> bool:
    """Whether a mean of ``trained`` groups per step is below a quarter of the ``wanted`` ones."""
    return trained < BELOW * wanted


class StarvationWatch:
    """Watch over the last 8 steps of a run.

    A pool that consumes on draw cannot starve, because prompts leave it with and without signal.

    Attributes:
        starving: Whether the pool starves after the last noted step.
    """

    def __init__(self) -> None:
        self.starving = False
        self._recent: deque[int] = deque(maxlen=STARVATION_STEPS)

    @property
    def mean(self) -> float:
        """Mean of trained groups per step over the last steps; 0 before the first."""
        return sum(self._recent) / max(1, len(self._recent))

    def note(self, pool: Pool, trained: int, wanted: int) -> bool:
        """Note a step with ``trained`` of ``wanted`` groups; return whether the pool begins to starve."""
        before = self.starving
        self._recent.append(trained)
        long_enough = len(self._recent) == STARVATION_STEPS
        self.starving = not pool.consumes_on_draw and long_enough and starves(self.mean, wanted)
        return self.starving and not before

    def state_dict(self) -> dict[str, Any]:
        """State as JSON values."""
        return {"starving": self.starving, "recent": list(self._recent)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore."""
        self.starving = state["starving"]
        self._recent = deque(state["recent"], maxlen=STARVATION_STEPS)
