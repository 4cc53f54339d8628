"""Run files: what a run adds to at every step."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from rekindle.scheduling.group_records import GroupRecord
from rekindle.scheduling.ledger import Ledger
from rekindle.training.checkpoint import Checkpoints
from rekindle.training.supply import Supplied

__all__ = ["MetricsLog", "ProposalLog", "RunFiles"]


class MetricsLog(Protocol):
    """``metrics.jsonl``."""

    def append(self, metrics: Mapping[str, object]) -> None:
        """Write one line."""
        ...

    def truncate_after(self, step: int) -> None:
        """Forget the lines of later steps."""
        ...


class ProposalLog(Protocol):
    """``proposals.jsonl``."""

    def extend(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Write the lines of a step."""
        ...

    def truncate_after(self, step: int) -> None:
        """Forget the lines of later steps."""
        ...


@dataclass(frozen=True, slots=True)
class RunFiles:
    """The files of a run directory that grow.

    Attributes:
        ledger: A row per group.
        metrics: A line per step.
        checkpoints: What a run goes on from.
        proposals: A line per task that was made; None where tasks are given.
    """

    ledger: Ledger
    metrics: MetricsLog
    checkpoints: Checkpoints
    proposals: ProposalLog | None = None

    def truncate_after(self, step: int) -> None:
        """Forget what a checkpoint does not know of; it will be written again."""
        self.ledger.truncate_after(step)
        self.metrics.truncate_after(step if step else -1)
        if self.proposals is not None:
            self.proposals.truncate_after(step)

    def write_groups(self, records: Sequence[GroupRecord], seconds: Mapping[int, float], supplied: Supplied) -> None:
        """Write the groups of a step, those of its supply included, and what was made for it.

        Args:
            records: Of the step's groups.
            seconds: From ask to tell, by request.
            supplied: What the supply brought.
        """
        self.ledger.write(records, seconds, supplied.records, supplied.durations)
        if self.proposals is not None:
            self.proposals.extend(supplied.lines)
