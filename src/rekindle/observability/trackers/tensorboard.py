"""TensorBoard: event files in ``tensorboard/`` of the run directory, written without torch.

Scalars have the names of ``metrics.jsonl``. The configuration is the text ``config``, and the hyperparameters of the
HPARAMS tab. Each step is flushed. A resumed run writes a new file that begins with a purge: viewers then leave out the
later steps of the files before it.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rekindle.observability.trackers.tracker import TrackedRun, parameters

__all__ = ["TensorBoardTracker"]

NEVER = 10**9
"""Seconds between flushes of the library; each step is flushed here."""


def _wait_for_a_later_name(directory: Path) -> None:
    """Wait for the next second where a file of this one is there: viewers read files in the order of their names."""
    if any(f".{int(time.time())}." in path.name for path in directory.glob("events.out.tfevents.*")):
        time.sleep(1.0)


class TensorBoardTracker:
    """Writer of event files.

    Attributes:
        id: Name of the directory.
        last_step: Last step in the files, or that viewers show of the files before.
    """

    def __init__(self, run: TrackedRun) -> None:
        from tensorboard.compat.proto.event_pb2 import SessionLog
        from tensorboard.plugins.hparams.summary_v2 import hparams_pb
        from tensorboard.plugins.text.summary_v2 import text_pb
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self.id = "tensorboard"
        self.last_step = min(run.last_step, run.resumed_from)
        directory = run.directory / "tensorboard"
        _wait_for_a_later_name(directory)
        self._writer = EventFileWriter(str(directory), flush_secs=NEVER)
        # Some loaders take the first start of all for no restart, so every file has one.
        self._add(step=self.last_step + 1, session_log=SessionLog(status=SessionLog.START))
        settings = dict(parameters(run.config))
        table = "\n".join(f"    {key} = {value}" for key, value in settings.items())
        self._add(summary=hparams_pb({**settings, "name": run.name}))
        self._add(step=0, summary=text_pb("config", table))
        self._writer.flush()

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Write the scalars of a step, and flush."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        values = [Summary.Value(tag=name, simple_value=value) for name, value in metrics.items()]
        self._add(step=step, summary=Summary(value=values))
        self._writer.flush()
        self.last_step = step

    def close(self, *, failed: bool) -> None:
        """Close the file; event files do not say how a run ended."""
        self._writer.close()

    def _add(self, **event: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        self._writer.add_event(Event(wall_time=time.time(), **event))
