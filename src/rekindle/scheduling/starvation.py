"""Starvation: a pool from which trained prompts leave holds, in the end, mostly prompts without signal."""

from collections import deque
from collections.abc import Mapping
from typing import Any

from rekindle.scheduling.pools import Pool

__all__ = ["STARVATION_STEPS", "StarvationWatch", "starves"]

STARVATION_STEPS = 8
BELOW = 0.25


def starves(trained: float, wanted: float) -> bool:
    """Whether a mean of ``trained`` groups per step is too few where ``wanted`` are asked for."""
    return trained < BELOW * wanted


class StarvationWatch:
    """Looks at the last 8 steps of a run.

    A pool whose draws consume cannot starve: its prompts leave whether they have signal or not.

    Attributes:
        starving: Whether the pool starves after the last step that was noted.
    """

    def __init__(self) -> None:
        self.starving = False
        self._recent: deque[int] = deque(maxlen=STARVATION_STEPS)

    @property
    def mean(self) -> float:
        """Groups trained on per step, over the last steps; 0 before the first."""
        return sum(self._recent) / max(1, len(self._recent))

    def note(self, pool: Pool, trained: int, wanted: int) -> bool:
        """A step was trained on ``trained`` of ``wanted`` groups; say whether the pool begins to starve with it."""
        before = self.starving
        self._recent.append(trained)
        long_enough = len(self._recent) == STARVATION_STEPS
        self.starving = not pool.consumes_on_draw and long_enough and starves(self.mean, wanted)
        return self.starving and not before

    def state_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {"starving": self.starving, "recent": list(self._recent)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore."""
        self.starving = state["starving"]
        self._recent = deque(state["recent"], maxlen=STARVATION_STEPS)
