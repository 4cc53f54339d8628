"""Run files: the ledger, logs and checkpoints that grow with every step of a run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from rekindle.notices import Log
from rekindle.records.supply import Supplied
from rekindle.scheduling.group_records import GroupRecord
from rekindle.scheduling.ledger import Ledger

__all__ = ["LineLog", "MetricsLog", "RunFiles", "StepWarnings"]


class MetricsLog(Protocol):
    """Protocol of ``metrics.jsonl``."""

    def append(self, metrics: Mapping[str, object]) -> None:
        """Write one line."""
        ...

    def truncate_after(self, step: int) -> None:
        """Delete the lines of later steps."""
        ...

    def last_step(self) -> int | None:
        """Step of the last line; None without lines."""
        ...


class StepWarnings(Log, Protocol):
    """Protocol of ``warnings.jsonl``."""

    step: int
    """Number of the current step, recorded with each warning."""

    def end_step(self, step: int) -> None:
        """Finish a step; later warnings belong to the next step."""
        ...

    def truncate_after(self, step: int) -> None:
        """Delete the lines of later steps."""
        ...


class LineLog(Protocol):
    """Protocol of ``proposals.jsonl`` and ``samples.jsonl``."""

    def extend(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Write the lines of a step."""
        ...

    def truncate_after(self, step: int) -> None:
        """Delete the lines of later steps."""
        ...


@dataclass(frozen=True, slots=True)
class RunFiles:
    """The files of a run directory that grow.

    Attributes:
        ledger: A row per group.
        metrics: A line per step.
        warnings: Warnings, by step.
        proposals: A line per proposed task; None where tasks are given.
        samples: A few rollouts a step; None where none are kept.
    """

    ledger: Ledger
    metrics: MetricsLog
    warnings: StepWarnings
    proposals: LineLog | None = None
    samples: LineLog | None = None

    def truncate_after(self, step: int) -> None:
        """Delete rows and lines after a checkpoint; the steps will be repeated."""
        self.ledger.truncate_after(step)
        self.metrics.truncate_after(step if step else -1)
        self.warnings.truncate_after(step if step else -1)
        self.warnings.step = step
        if self.proposals is not None:
            self.proposals.truncate_after(step)
        if self.samples is not None:
            self.samples.truncate_after(step if step else -1)

    def end_step(self, line: Mapping[str, Any]) -> None:
        """Write the metrics line of a step and finish the step."""
        self.metrics.append(line)
        self.warnings.end_step(line["step"])

    def write_groups(self, records: Sequence[GroupRecord], seconds: Mapping[int, float], supplied: Supplied) -> None:
        """Write the group records of a step, those of its supply included, and its proposals.

        Args:
            records: Records of the step's groups.
            seconds: Seconds from ask to tell, by request id.
            supplied: Result of the supply.
        """
        self.ledger.write(records, seconds, supplied.records, supplied.durations)
        if self.proposals is not None:
            self.proposals.extend(supplied.lines)

    def write_samples(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Write the samples of a step."""
        if self.samples is not None and lines:
            self.samples.extend(lines)
