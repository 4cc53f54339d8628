"""Live display in a terminal: a bar, what the run is doing, the last steps, and two samples."""

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from rekindle.observability.live.run_state import RunState
from rekindle.observability.live.shown_samples import ShownSample, cut_in_the_middle

__all__ = ["TerminalView"]

_PARTS = 1000
_NARROW = 74
"""Terminals with fewer columns get no table of the steps."""
_FIXED_LINES = 6
"""Lines of the display beside the steps and the samples."""


class TerminalView:
    """Redraws the state of a run below whatever else is written to the terminal.

    Args:
        state: What is shown; read four times a second, from a thread.
        console: The terminal.
    """

    def __init__(self, state: RunState, console: Console) -> None:
        self._state, self._console = state, console
        self._bar = _bar(console)
        self._task = self._bar.add_task("", total=_PARTS, words="")
        self._below: list[RenderableType] = []
        self._live = Live(console=console, refresh_per_second=4, get_renderable=self.picture)
        self._is_first = True

    def start(self) -> None:
        """Begin to draw."""
        self._live.start()

    def update(self) -> None:
        """Show a finished step."""
        change = self._bar.reset if self._is_first else self._bar.update
        # A resumed run begins in the middle; the time left is estimated from its own steps only.
        change(self._task, completed=round(_PARTS * self._state.done), words=self._state.position)
        self._is_first = False
        self._below = [_Drawn(part) for part in self._parts()]

    def stop(self) -> None:
        """Draw for the last time; the picture stays."""
        self._state.activity = None
        self._live.stop()

    def picture(self) -> Group:
        """The state at this moment."""
        state = self._state
        lines = [Text(line) for line in (state.doing, state.held_out, state.sentence) if line]
        return Group(self._bar, *lines, *self._below)

    def _parts(self) -> Iterable[RenderableType]:
        """The steps and the samples, as many as the terminal has room for."""
        state, width, height = self._state, self._console.width, self._console.height
        needed = sum(len(sample.lines) for sample in state.samples)
        samples = state.samples if height >= _FIXED_LINES + needed else ()
        rows = max(0, height - _FIXED_LINES - (needed if samples else 0) - 1)
        if rows and state.steps and width >= _NARROW:
            yield _steps(list(state.steps)[-rows:])
        if samples:
            yield _samples(samples, width)


class _Drawn:
    """Something that does not change, drawn once for a width: tables are slow to draw."""

    def __init__(self, inner: RenderableType) -> None:
        self._inner, self._width = inner, 0
        self._segments: list[Segment] = []

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterable[Segment]:
        if self._width != options.max_width:
            self._segments, self._width = list(console.render(self._inner, options)), options.max_width
        return self._segments


def _steps(rows: list[dict[str, str]]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in rows[-1]:
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*map(Text, row.values()))
    return table


def _samples(samples: tuple[ShownSample, ...], width: int) -> Group:
    """The samples, a line per text; ``Text`` keeps markup from being read, and cuts to the width."""
    names = max(len(name) for one in samples for name, _ in one.lines)
    lines = []
    for one in samples:
        (name, message), *others = one.lines
        lines.append(_line(name, "green" if one.is_right else "", names, cut_in_the_middle(message, width - names - 2)))
        lines += [_line(name, "dim", names, text) for name, text in others]
    return Group(*lines)


def _line(name: str, style: str, width: int, text: str) -> Text:
    return Text.assemble((f"{name:<{width}}  ", style), text, no_wrap=True, overflow="ellipsis")


def _bar(console: Console) -> Bar:
    return Bar(
        TextColumn("{task.fields[words]}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("·"),
        TimeRemainingColumn(),
        TextColumn("left"),
        console=console,
    )
