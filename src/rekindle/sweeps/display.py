"""Display of a sweep: a line per run in a terminal, and lines in a log."""

import time
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from rekindle.observability.formatting import counted, duration, grouped, rate
from rekindle.sweeps.status import State, Status, seconds_left

__all__ = ["Display", "plan_words", "state_words"]

SILENCE_SECONDS = 60.0
"""A log gets a line of all runs after this time."""
OTHER_LINES = 4
"""Lines of a terminal beside those of the runs."""


def state_words(status: Status) -> str:
    """What a run is doing or how it ended, in a few words: ``"step 12 of 80"``, ``"done, step 80"``."""
    steps, step = status.run.config.train.steps, grouped(status.step)
    of_all = f" of {grouped(steps)}" if steps else ""
    if status.state is State.RUNNING:
        return f"step {step}{of_all}" if status.start_seconds is not None else "starting"
    if status.state is State.WAITING:
        return "waiting"
    return {
        State.DONE: f"done, step {step}",
        State.BOUND: f"stopped at a bound, step {step}{of_all}",
        State.INTERRUPTED: f"interrupted, step {step}{of_all}",
        State.FAILED: f"failed, step {step}{of_all}",
    }[status.state]


def plan_words(statuses: Sequence[Status], jobs: int, now: float | None = None) -> str:
    """How many runs have ended, and how much time is left: ``"3 of 10 runs ended, about 4 min left (until 21:40)"``.

    Args:
        statuses: All runs.
        jobs: Runs made at the same time.
        now: Seconds since the epoch; None: the clock's.
    """
    states = [one.state for one in statuses]
    ended = sum(one in {State.DONE, State.BOUND, State.FAILED} for one in states)
    words = f"{ended} of {counted(len(statuses), 'run')} ended"
    left = seconds_left(statuses, jobs)
    if ended == len(statuses) or (State.INTERRUPTED in states and State.RUNNING not in states):
        return words
    if left is None:
        return f"{words}, time left is known after the first steps"
    until = time.strftime("%H:%M" if left < 20 * 3600 else "%d %b %H:%M", time.localtime((now or time.time()) + left))
    return f"{words}, about {duration(left)} left (until {until})"


class Display:
    """Shows the runs of a sweep; a context manager around them, and a ``Watch``.

    Args:
        statuses: All runs.
        jobs: Runs made at the same time.
        console: Output; default: standard error.
        clock: Time in seconds; only tests replace it.
    """

    def __init__(
        self,
        statuses: Sequence[Status],
        jobs: int,
        *,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._statuses, self._jobs, self._clock = statuses, jobs, clock
        self._console = console or Console(stderr=True)
        self._live: Live | None = None
        if self._console.is_interactive:
            self._live = Live(console=self._console, refresh_per_second=2, get_renderable=self._picture)
        self._planned = False
        self._said_at = clock()

    def changed(self, status: Status) -> None:
        """See ``Watch``."""
        if self._live is None and status.state is State.RUNNING:
            how = f"goes on after step {grouped(status.step)}" if status.step else "begins"
            self._print(f"{status.run.name}: {how}")
        elif status.ended:
            why = f": {status.why}" if status.why else ""
            took = f", {duration(status.seconds)}" if status.seconds else ""
            self._print(f"{status.run.name}: {state_words(status)}{_accuracy(status)}{took}{why}")
            if self._live is None:
                self._print(plan_words(self._statuses, self._jobs))

    def progressed(self, _: Status) -> None:
        """See ``Watch``."""
        if self._live is not None:
            return
        if not self._planned and seconds_left(self._statuses, self._jobs) is not None:
            self._planned = True
            self._print(plan_words(self._statuses, self._jobs))
        elif self._clock() - self._said_at >= SILENCE_SECONDS:
            for status in self._statuses:
                if status.state is State.RUNNING:
                    self._print(f"{status.run.name}: {state_words(status)}{_accuracy(status)}")
            self._print(plan_words(self._statuses, self._jobs))

    def __enter__(self) -> "Display":
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def _print(self, text: str) -> None:
        # No markup, highlighting or wrapping: other programs may read the log lines.
        self._console.print(Text(text), soft_wrap=True)
        self._said_at = self._clock()

    def _picture(self) -> Table:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
        for _ in range(4):
            table.add_column(no_wrap=True, overflow="ellipsis")
        for status in self._shown():
            whole = status.whole_seconds
            left = f"{duration((1 - status.done) * whole)} left" if status.state is State.RUNNING and whole else ""
            cells = (status.run.name, state_words(status), _accuracy(status).removeprefix(", "), left)
            table.add_row(*map(Text, cells))
        around = Table.grid()
        around.add_row(table)
        around.add_row(Text(plan_words(self._statuses, self._jobs)))
        return around

    def _shown(self) -> Iterator[Status]:
        """The runs that the terminal has room for: those that are made, the last that ended, the next."""
        room = max(1, self._console.height - OTHER_LINES)
        order = [State.RUNNING, State.FAILED, State.BOUND, State.INTERRUPTED, State.DONE, State.WAITING]
        chosen = sorted(self._statuses, key=lambda one: order.index(one.state))[:room]
        yield from (one for one in self._statuses if any(one is other for other in chosen))


def _accuracy(status: Status) -> str:
    return "" if status.accuracy is None else f", held-out accuracy {rate(status.accuracy)}"
