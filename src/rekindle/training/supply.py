"""Where a run's tasks come from when they are made in the run itself, as in self-play."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from rekindle.scheduling.group_records import GroupRecord
from rekindle.types import TrainingSample

__all__ = ["Supplied", "Supply"]


@dataclass(frozen=True, slots=True)
class Supplied:
    """What whoever made a step's tasks brings to its end.

    Attributes:
        samples: What they learn from, to be trained on in the same update.
        records: What became of their own rollouts.
        durations: Wall seconds by request.
        metrics: Numbers of the step.
        records: A line for people about everything that was made.
        further_tokens: Tokens that the policy read and sampled besides, as a verifier; no rollouts, but they cost.
    """

    samples: Sequence[TrainingSample]
    records: Sequence[GroupRecord]
    durations: Mapping[int, float]
    metrics: Mapping[str, float | None]
    records: Sequence[Mapping[str, Any]] = ()
    further_tokens: tuple[int, int] = (0, 0)


class Supply(Protocol):
    """Makes tasks before each step, and learns from what became of them."""

    def prepare(self, step: int, version: int) -> None:
        """Add the tasks of a step to the pool."""
        ...

    def conclude(self, step: int, records: Sequence[GroupRecord]) -> Supplied:
        """Told what became of every group of the step; called once, after ``prepare``."""
        ...

    @property
    def levels(self) -> Sequence[int]:
        """Difficulty of each task, by its row; grows."""
        ...

    @property
    def seconds(self) -> Mapping[str, float]:
        """Wall seconds spent so far, by phase."""
        ...

    @property
    def counts(self) -> Mapping[str, int]:
        """What happened so far, under the keys of ``metrics.jsonl``."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Between two steps: JSON values."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore, before the scheduler is."""
        ...
