"""The step log of a run with trackers: ``metrics.jsonl`` first, then every tracker."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rekindle.config import Config
from rekindle.observability.metrics import plain_line, read_metrics
from rekindle.observability.trackers.checking import KINDS
from rekindle.observability.trackers.follower import Follower, Record
from rekindle.observability.trackers.tracker import TrackedRun

if TYPE_CHECKING:
    from rekindle.records.run_files import MetricsLog

__all__ = ["TrackedMetrics", "tracked"]


class TrackedMetrics:
    """Passes every step on to a step log, and then to the followers of the trackers."""

    def __init__(self, log: "MetricsLog", followers: list[Follower]) -> None:
        self._log, self._followers = log, followers

    def append(self, metrics: Mapping[str, object]) -> None:
        """Write one step, and hand it over."""
        line = plain_line(metrics)
        self._log.append(line)
        for follower in self._followers:
            follower.append(line)

    def truncate_after(self, step: int) -> None:
        """Remove the lines of later steps; a tracker is told of them when it is opened."""
        self._log.truncate_after(step)

    def last_step(self) -> int | None:
        """Step of the last line; None without lines."""
        return self._log.last_step()


@contextmanager
def tracked(config: Config, directory: Path, log: "MetricsLog", *, resumed_from: int = -1) -> Iterator[TrackedMetrics]:
    """The step log with the trackers of the configuration, which are closed at the end.

    Args:
        config: The complete configuration.
        directory: Run directory.
        log: ``metrics.jsonl``, without the steps that the run will make.
        resumed_from: Step of the checkpoint that the run continues from; -1: it begins.
    """
    before = read_metrics(directory / "metrics.jsonl") if config.track else []
    followers = [_follower(name, config, directory, before, resumed_from) for name in config.track]
    failed = True
    try:
        yield TrackedMetrics(log, followers)
        failed = False
    finally:
        for follower in followers:
            follower.end(failed=failed)
        for follower in followers:
            follower.join()


def _follower(name: str, config: Config, directory: Path, before: list[dict[str, Any]], resumed_from: int) -> Follower:
    path = directory / "trackers" / f"{name}.json"
    record = Record.read(path)
    run = TrackedRun(
        directory=directory,
        project=config.tracking.project,
        name=config.tracking.name or directory.resolve().name,
        config=config.model_dump(mode="json", exclude_none=True),
        id=record.id if record else None,
        last_step=record.last_step if record else -1,
        resumed_from=resumed_from,
    )
    return Follower(name, lambda: KINDS[name].open(run), path, before)
