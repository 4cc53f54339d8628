"""Pool protocols: what a scheduler, and a growing pool, ask of a pool."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from rekindle.scheduling.group_records import GroupRecord
from rekindle.scheduling.history import History
from rekindle.scheduling.weighted_rows import Rows
from rekindle.types import Fate

__all__ = ["Growable", "Pool"]


class Pool(Protocol):
    """The rule by which prompts are drawn and come back. ``rekindle.testing.check_pool`` tests an implementation."""

    history: History

    @property
    def consumes_on_draw(self) -> bool:
        """Whether a prompt leaves the pool when it is drawn; else when it was trained on, or never."""
        ...

    @property
    def no_signal(self) -> Fate:
        """Fate of a group without signal: RECYCLED where its prompt is still in the pool, RETIRED where it has left."""
        ...

    @property
    def grows(self) -> bool:
        """Whether prompts are still to come, so that an empty draw is not the end of the run."""
        ...

    @property
    def resets(self) -> int:
        """How often the pool was refilled."""
        ...

    @property
    def live(self) -> int:
        """Prompts that are still to be used before the pool is reset."""
        ...

    @property
    def group_size(self) -> int | None:
        """Rollouts per prompt that the pool prescribes for the next draw; None: the pool has no say."""
        ...

    @property
    def finished(self) -> str | None:
        """Why the pool has ended the run, as a sentence; None while it goes on."""
        ...

    def draw(self, count: int, rng: np.random.Generator, in_flight: Collection[int] = ()) -> Rows:
        """Draw up to ``count`` distinct rows, none of them in flight. Fewer, or none, where there are no more."""
        ...

    def update(self, records: Sequence[GroupRecord]) -> None:
        """Learn what became of every request of a step; called once per step."""
        ...

    def metrics(self) -> dict[str, float]:
        """Numbers of the last step that was learned of, under keys that begin with "pool/"."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """What is not in the history: arrays and JSON values."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore; the history is restored before."""
        ...


class Growable(Pool, Protocol):
    """A pool that a ``GrowingPool`` may hold: its prompts change while the run goes on."""

    members: Rows | None
    """The prompts that a reset brings back; None: all."""

    def grown(self) -> None:
        """Take in the rows that the history has grown by: live, with weight 1."""
        ...

    def mark_drawn(self, rows: Rows) -> None:
        """Somebody else has drawn these: consume them where ``consumes_on_draw``."""
        ...

    def keep_only(self, rows: Rows) -> None:
        """Let every other prompt leave for good: it weighs 0, whatever comes, and no reset brings it back."""
        ...
