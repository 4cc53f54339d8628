"""State of the runs of a sweep while they are made, and the time that is left."""

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from statistics import fmean
from typing import Any

from rekindle.sweeps.runs import SweepRun

__all__ = ["State", "Status", "seconds_left"]


class State(StrEnum):
    """State of a run of a sweep."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    BOUND = "bound"
    INTERRUPTED = "interrupted"
    FAILED = "failed"


@dataclass(slots=True)
class Status:
    """State of a run.

    Attributes:
        run: The run.
        state: Its state.
        step: Last step that is known.
        done: Part of the run that is done, 0 to 1.
        accuracy: Held-out accuracy of the last evaluation, sampled; None: there was none yet.
        seconds: Seconds that this process saw of the run.
        why: Why it stopped or failed, as a sentence.
    """

    run: SweepRun
    state: State = State.WAITING
    step: int = 0
    done: float = 0.0
    accuracy: float | None = None
    seconds: float = 0.0
    why: str = ""
    _first: tuple[float, float] | None = field(default=None, repr=False)
    """Seconds and part at the first sign of the run."""

    @property
    def ended(self) -> bool:
        """Whether nothing more is to be expected of the run."""
        return self.state not in {State.WAITING, State.RUNNING}

    def note(self, progress: dict[str, Any]) -> None:
        """Take the progress that the worker of the run reports."""
        self.step, self.done = int(progress["step"]), float(progress["done"])
        self.seconds = float(progress["seconds"])
        if (accuracy := progress.get("accuracy")) is not None:
            self.accuracy = float(accuracy)
        if self._first is None:
            self._first = (self.seconds, self.done)

    def found(self, state: State, step: int, seconds: float) -> None:
        """Take how the run had ended before this process began."""
        self.state, self.step, self.done, self.seconds = state, step, 1.0, seconds
        self._first = (0.0, 0.0)

    @property
    def start_seconds(self) -> float | None:
        """Seconds until the first evaluation or step; None before it."""
        return None if self._first is None else self._first[0]

    @property
    def whole_seconds(self) -> float | None:
        """Expected seconds of the steps of the whole run; None where too little of it was seen."""
        if self._first is None or self.done <= self._first[1]:
            return None
        return (self.seconds - self._first[0]) / (self.done - self._first[1])


def seconds_left(statuses: Sequence[Status], jobs: int) -> float | None:
    """Expected seconds until all runs have ended; None where no run was seen long enough.

    A run takes as long as the mean of those of its recipe; without one, as the mean of all.

    Args:
        statuses: All runs, in the order in which they are made.
        jobs: Runs made at the same time.
    """
    measured = {id(one): one.whole_seconds for one in statuses}
    known = [seconds for seconds in measured.values() if seconds is not None]
    if not known:
        return None
    starts = [one.start_seconds for one in statuses if one.start_seconds]
    start = min(starts, default=0.0)  # the first one may have made a warm start

    def steps_of(status: Status) -> float:
        own = measured[id(status)]
        same = [measured[id(one)] for one in statuses if one.run.config.recipe == status.run.config.recipe]
        return own if own is not None else fmean([one for one in same if one is not None] or known)

    running = [(1 - one.done) * steps_of(one) for one in statuses if one.state is State.RUNNING]
    waiting = [start + steps_of(one) for one in statuses if one.state is State.WAITING]
    return _makespan(running, waiting, jobs)


def _makespan(running: Iterable[float], waiting: Iterable[float], jobs: int) -> float:
    """Time until the last one ends, when the waiting ones begin in order, each as soon as there is room."""
    ends = list(running)
    ends += [0.0] * (jobs - len(ends))
    heapq.heapify(ends)
    for seconds in waiting:
        heapq.heapreplace(ends, ends[0] + seconds)
    return max(ends, default=0.0)
