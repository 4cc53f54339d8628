"""Supplies: sources of the tasks of every step, given or created during the run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from rekindle.records.rollout_samples import Played
from rekindle.scheduling.group_records import GroupRecord
from rekindle.types import TrainingSample

__all__ = ["GivenTasks", "Supplied", "Supply"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Supplied:
    """Result of a supply at the end of a step.

    Attributes:
        samples: Training samples of the proposer, for the same step.
        records: Records of the proposer's requests.
        durations: Wall seconds by request id.
        metrics: Metrics of the step.
        lines: A line per proposed task, for ``proposals.jsonl``.
        rollouts: Requests of the proposer with their rollouts, where all their rewards are known.
        further_tokens: Prompt tokens and sampled tokens outside of rollouts, e.g. of the policy as a verifier.
    """

    samples: Sequence[TrainingSample] = ()
    records: Sequence[GroupRecord] = ()
    durations: Mapping[int, float] = field(default_factory=dict)
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    lines: Sequence[Mapping[str, Any]] = ()
    rollouts: Sequence[Played] = ()
    further_tokens: tuple[int, int] = (0, 0)


class Supply(Protocol):
    """Supply protocol: creates tasks before each step, and gets their records after it."""

    def prepare(self, step: int, version: int) -> None:
        """Add the tasks of a step to the pool."""
        ...

    def conclude(self, step: int, records: Sequence[GroupRecord]) -> Supplied:
        """Finish a step; called once per step, after ``prepare``, with the records of all its groups."""
        ...

    @property
    def levels(self) -> Sequence[int]:
        """Difficulty of each task, by its row; empty where tasks have none. It may grow."""
        ...

    @property
    def seconds(self) -> Mapping[str, float]:
        """Wall seconds since the start, by phase."""
        ...

    @property
    def counts(self) -> Mapping[str, int]:
        """Events counted since the start, under the keys of ``metrics.jsonl``."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """State between two steps, as JSON values."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore; called before the scheduler is restored."""
        ...


class GivenTasks:
    """Supply of a run whose tasks are given; it adds none.

    Args:
        levels: Difficulty of each task; empty where tasks have none.
    """

    def __init__(self, levels: Sequence[int] = ()) -> None:
        self.levels = levels
        self.seconds: Mapping[str, float] = {}
        self.counts: Mapping[str, int] = {}

    def prepare(self, step: int, version: int) -> None:
        """Do nothing: every task is in the pool already."""

    def conclude(self, step: int, records: Sequence[GroupRecord]) -> Supplied:
        """Return an empty result."""
        return Supplied()

    def state_dict(self) -> dict[str, Any]:
        """Return no state."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Do nothing: there is no state."""
