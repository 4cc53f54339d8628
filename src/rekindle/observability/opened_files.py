"""The files of a run that grow with every step, opened for writing."""

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from rekindle.observability.metrics import MetricsWriter
from rekindle.observability.step_log import StepLog
from rekindle.observability.warnings_log import WARNINGS, WarningsLog
from rekindle.records.run_files import RunFiles
from rekindle.scheduling.ledger import LEDGER, Ledger

__all__ = ["opened_run_files"]


@contextmanager
def opened_run_files(directory: Path, *, proposals: str | None = None, samples: bool = True) -> Iterator[RunFiles]:
    """The files of a run directory, closed at the end.

    Args:
        directory: Run directory; it exists.
        proposals: Name of the file of proposed tasks; None: tasks are given.
        samples: Keep samples of what the policy writes.
    """
    with ExitStack() as stack:
        yield RunFiles(
            ledger=stack.enter_context(closing(Ledger(directory / LEDGER))),
            metrics=stack.enter_context(MetricsWriter(directory / "metrics.jsonl")),
            warnings=stack.enter_context(WarningsLog(directory / WARNINGS)),
            proposals=None if proposals is None else stack.enter_context(StepLog(directory / proposals)),
            samples=stack.enter_context(StepLog(directory / "samples.jsonl")) if samples else None,
        )
