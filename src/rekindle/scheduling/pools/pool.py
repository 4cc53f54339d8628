"""Pool protocols, for the scheduler and for the growing pool."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from rekindle.scheduling.group_records import GroupRecord
from rekindle.scheduling.history import History
from rekindle.scheduling.weighted_rows import Rows
from rekindle.types import Fate

__all__ = ["Growable", "Pool"]


class Pool(Protocol):
    """Pool protocol: draws prompts and lets them return. ``rekindle.testing.check_pool`` tests an implementation."""

    history: History

    @property
    def consumes_on_draw(self) -> bool:
        """Whether a prompt leaves the pool when drawn; otherwise it leaves when trained on, or never."""
        ...

    @property
    def no_signal(self) -> Fate:
        """Fate of a group without signal: RECYCLED if its prompt is still in the pool, RETIRED if it has left."""
        ...

    @property
    def grows(self) -> bool:
        """Whether prompts are added during the run, so that an empty draw does not end it."""
        ...

    @property
    def resets(self) -> int:
        """Number of resets."""
        ...

    @property
    def live(self) -> int:
        """Number of prompts that are not consumed."""
        ...

    @property
    def group_size(self) -> int | None:
        """Group size that the pool prescribes for the next draw; None: it prescribes none."""
        ...

    @property
    def finished(self) -> str | None:
        """Reason why the pool has ended the run, as a sentence; None while the run continues."""
        ...

    def draw(self, count: int, rng: np.random.Generator, in_flight: Collection[int] = ()) -> Rows:
        """Draw up to ``count`` distinct rows, none of them in flight; fewer where no more are left."""
        ...

    def update(self, records: Sequence[GroupRecord]) -> None:
        """Update the pool with the records of all requests of a step; called once per step."""
        ...

    def metrics(self) -> dict[str, float]:
        """Metrics of the last update, under keys that begin with "pool/"."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """State that is not in the history: arrays and JSON values."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore, after the history."""
        ...


class Growable(Pool, Protocol):
    """Protocol of the inner pool of a ``GrowingPool``, whose prompts change during the run."""

    members: Rows | None
    """Rows that a reset brings back; None: all."""

    def grown(self) -> None:
        """Add the rows by which the history has grown: live, with weight 1."""
        ...

    def mark_drawn(self, rows: Rows) -> None:
        """Mark rows as drawn by the growing pool: consume them if ``consumes_on_draw``."""
        ...

    def keep_only(self, rows: Rows) -> None:
        """Remove all other prompts permanently: their weight is 0, and no reset brings them back."""
        ...
