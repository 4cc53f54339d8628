"""Run files: what a run adds to at every step."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from rekindle.notices import Log
from rekindle.scheduling.group_records import GroupRecord
from rekindle.scheduling.ledger import Ledger
from rekindle.training.checkpoint import Checkpoints
from rekindle.training.supply import Supplied

__all__ = ["MetricsLog", "ProposalLog", "RunFiles", "WarningsLog"]


class MetricsLog(Protocol):
    """``metrics.jsonl``."""

    def append(self, metrics: Mapping[str, object]) -> None:
        """Write one line."""
        ...

    def truncate_after(self, step: int) -> None:
        """Forget the lines of later steps."""
        ...


class WarningsLog(Log, Protocol):
    """``warnings.jsonl``."""

    step: int
    """The step that is being made; what is said belongs to it."""

    def end_step(self, step: int) -> None:
        """A step is over; what is said from now on belongs to the next."""
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
        warnings: What a person should know, by step.
        checkpoints: What a run goes on from.
        proposals: A line per task that was made; None where tasks are given.
    """

    ledger: Ledger
    metrics: MetricsLog
    warnings: WarningsLog
    checkpoints: Checkpoints
    proposals: ProposalLog | None = None

    def truncate_after(self, step: int) -> None:
        """Forget what a checkpoint does not know of; it will be written again."""
        self.ledger.truncate_after(step)
        self.metrics.truncate_after(step if step else -1)
        self.warnings.truncate_after(step if step else -1)
        self.warnings.step = step
        if self.proposals is not None:
            self.proposals.truncate_after(step)

    def end_step(self, line: Mapping[str, Any]) -> None:
        """Write the metrics of a step, which is over with it."""
        self.metrics.append(line)
        self.warnings.end_step(line["step"])

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
