"""Which prompts may be drawn, and when a drawn prompt may come back. Pools hold weights of rows, never texts."""

from collections.abc import Collection, Mapping
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from rekindle.scheduling.history import History
from rekindle.scheduling.weighted_rows import Rows, WeightedRows
from rekindle.types import Fate

__all__ = ["CyclingPool", "Pool", "RecyclingPool"]


class Pool(Protocol):
    """The rule by which prompts are drawn and come back. ``rekindle.testing.check_pool`` tests an implementation."""

    history: History
    no_signal: Fate
    """What becomes of a group without signal: RECYCLED or RETIRED."""
    resets: int
    """How often the pool was refilled."""

    @property
    def live(self) -> int:
        """Prompts that are still to be used before the pool is reset."""
        ...

    def draw(self, count: int, rng: np.random.Generator, in_flight: Collection[int] = ()) -> Rows:
        """Draw up to ``count`` distinct rows, none of them in flight. Fewer, or none, where there are no more."""
        ...

    def settle(self, trained: npt.ArrayLike) -> None:
        """Learn which of the drawn rows were in the update batch."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """What is not in the history."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore; the history is restored before."""
        ...


class _WeightedPool:
    """What both pools share: a weight per prompt in the history, and a count of resets."""

    def __init__(self, history: History, consumed_weight: float) -> None:
        self.history = history
        self.resets = 0
        self._rows = WeightedRows(history.weight, live_above=consumed_weight)

    @property
    def live(self) -> int:
        return self._rows.live

    def state_dict(self) -> dict[str, Any]:
        return {"resets": self.resets}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.resets = int(state["resets"])
        self._rows.refresh()

    def _reset(self) -> None:
        self._rows.fill(1.0)
        self.resets += 1


class CyclingPool(_WeightedPool):
    """Every drawn prompt is consumed; when all are, all come back (GRPO, and Bounded DAPO with oversampling).

    A step that needs more prompts than are left takes these, resets the pool and goes on drawing; prompts of the step
    and prompts in flight are left out, so a step never holds a prompt twice.
    """

    no_signal = Fate.RETIRED

    def __init__(self, history: History) -> None:
        super().__init__(history, consumed_weight=0.0)

    def draw(self, count: int, rng: np.random.Generator, in_flight: Collection[int] = ()) -> Rows:
        """Draw and consume."""
        rows = self._rows.draw(count, rng, in_flight)
        self._rows.set(rows, 0.0)
        if len(rows) < count and not self.live:
            self._reset()
            more = self._rows.draw(count - len(rows), rng, {*in_flight, *rows.tolist()})
            rows = np.concatenate([rows, more])
            self._rows.set(rows, 0.0)
        return rows

    def settle(self, trained: npt.ArrayLike) -> None:
        """Nothing: prompts were consumed when they were drawn."""


class RecyclingPool(_WeightedPool):
    """Query recycling (arXiv 2606.10709): only prompts of the update batch are consumed.

    State: one weight w in [0, 1] per prompt, all 1 at the start. Prompts are drawn in proportion to w without
    replacement. A prompt in the update batch gets w = ``alpha`` (0: hard recycling, the paper tried 0.1 as the soft
    one); every other prompt, drawn or not, keeps its weight: a group without signal, and a group of signal that was
    not needed, is eligible again.

    Degenerate case: visited often, the pool distils into prompts that never teach, and shrinks. When it is empty,
    ``on_empty`` says whether it is reset (all weights 1) or the run stops; ``reset_below`` resets it earlier, at a
    live fraction. The paper is silent here, as it draws each prompt about twice.
    """

    no_signal = Fate.RECYCLED

    def __init__(
        self,
        history: History,
        alpha: float = 0.0,
        on_empty: Literal["reset", "stop"] = "reset",
        reset_below: float = 0.0,
    ) -> None:
        for name, value in (("alpha", alpha), ("reset_below", reset_below)):
            if not 0 <= value < 1:
                raise ValueError(f"{name} = {value} is outside [0, 1); 0 is the paper's rule")
        super().__init__(history, consumed_weight=alpha)
        self._alpha, self._on_empty, self._reset_below = alpha, on_empty, reset_below

    def draw(self, count: int, rng: np.random.Generator, in_flight: Collection[int] = ()) -> Rows:
        """Draw; weights stay."""
        live = self.live
        if live < self._reset_below * len(self.history) or (not live and self._on_empty == "reset"):
            self._reset()
        return self._rows.draw(count, rng, in_flight)

    def settle(self, trained: npt.ArrayLike) -> None:
        """Consume the update batch, and only it."""
        self._rows.set(trained, self._alpha)
