"""Supplies: where the tasks of every step come from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from rekindle.scheduling.group_records import GroupRecord
from rekindle.types import TrainingSample

__all__ = ["GivenTasks", "Supplied", "Supply"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Supplied:
    """What a supply brings to the end of a step.

    Attributes:
        samples: What the makers of the tasks learn from, to be trained on in the same update.
        records: Records of their own requests.
        durations: Wall seconds by request.
        metrics: Numbers of the step.
        lines: A line for people about everything that was made.
        further_tokens: Tokens that the policy read and sampled besides, as a verifier; no rollouts, but they cost.
    """

    samples: Sequence[TrainingSample] = ()
    records: Sequence[GroupRecord] = ()
    durations: Mapping[int, float] = field(default_factory=dict)
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    lines: Sequence[Mapping[str, Any]] = ()
    further_tokens: tuple[int, int] = (0, 0)


class Supply(Protocol):
    """Makes tasks before each step, and learns from what became of them."""

    def prepare(self, step: int, version: int) -> None:
        """Add the tasks of a step to the pool."""
        ...

    def conclude(self, step: int, records: Sequence[GroupRecord]) -> Supplied:
        """Called once per step, after ``prepare``, with the records of all its groups."""
        ...

    @property
    def levels(self) -> Sequence[int]:
        """Difficulty of each task, by its row; empty where tasks have none. It may grow."""
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


class GivenTasks:
    """The supply of a run whose tasks are given: it adds none.

    Args:
        levels: Difficulty of each task; empty where tasks have none.
    """

    def __init__(self, levels: Sequence[int] = ()) -> None:
        self.levels = levels
        self.seconds: Mapping[str, float] = {}
        self.counts: Mapping[str, int] = {}

    def prepare(self, step: int, version: int) -> None:
        """Nothing: every task is in the pool already."""

    def conclude(self, step: int, records: Sequence[GroupRecord]) -> Supplied:
        """Nothing beside the groups themselves."""
        return Supplied()

    def state_dict(self) -> dict[str, Any]:
        """No state."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Nothing to restore."""
