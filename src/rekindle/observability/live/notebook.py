"""Live display in a notebook: one output that is rewritten in place."""

import contextvars
import threading
from collections.abc import Callable
from html import escape
from importlib import import_module
from typing import Any

from rekindle.observability.live.run_state import RunState
from rekindle.observability.live.shown_samples import ShownSample, cut_in_the_middle

__all__ = ["NotebookView", "html_picture"]

_SECONDS = 1.0
"""Between two drawings."""
_COLUMNS = 120
"""Most columns of a sample's text."""
_CELL = 'style="text-align:right;padding:0 1em 0 0"'
_LINE = 'style="white-space:nowrap;overflow:hidden;text-overflow:ellipsis;max-width:60em;text-align:left"'

Show = Callable[[str], None]
"""Shows HTML in place of what was shown before."""


class NotebookView:
    """Rewrites one output of the cell that runs, once a second and after every step.

    Args:
        state: What is shown.
        begin: Shows HTML as a new output, and returns the function that rewrites it.
    """

    def __init__(self, state: RunState, begin: Callable[[str], Show] | None = None) -> None:
        self._state, self._begin = state, begin or _output
        self._show: Show | None = None
        self._ended = threading.Event()
        self._lock = threading.Lock()

    def start(self) -> None:
        """Begin to draw."""
        self._show = self._begin(html_picture(self._state))
        # Outputs of a thread belong to the running cell only in a copy of its context.
        context = contextvars.copy_context()
        threading.Thread(target=context.run, args=(self._redraw,), name="rekindle progress", daemon=True).start()

    def update(self) -> None:
        """Show a finished step."""
        with self._lock:
            if self._show is not None:
                self._show(html_picture(self._state))

    def stop(self) -> None:
        """Draw for the last time."""
        self._ended.set()
        self._state.activity = None
        self.update()
        self._show = None

    def _redraw(self) -> None:
        while not self._ended.wait(_SECONDS):
            self.update()


def html_picture(state: RunState) -> str:
    """The state as HTML; every text is escaped."""
    bar = f'<progress value="{state.done:.3f}" max="1"></progress> {escape(state.position)}'
    lines = [bar, *map(escape, filter(None, (state.doing, state.held_out, state.sentence)))]
    parts = [f"<div>{line}</div>" for line in lines]
    if state.steps:
        parts.append(_table(list(state.steps)))
    if state.samples:
        parts.append(f"<table>{''.join(map(_sample, state.samples))}</table>")
    return f'<div style="font-size:90%">{"".join(parts)}</div>'


def _table(rows: list[dict[str, str]]) -> str:
    def line(tag: str, cells: list[str]) -> str:
        return f"<tr>{''.join(f'<{tag} {_CELL}>{escape(cell)}</{tag}>' for cell in cells)}</tr>"

    return f"<table>{line('th', list(rows[-1]))}{''.join(line('td', list(row.values())) for row in rows)}</table>"


def _sample(sample: ShownSample) -> str:
    return "".join(
        f'<tr><td style="text-align:left">{escape(name)}</td><td dir="auto" {_LINE}>{escape(text)}</td></tr>'
        for name, text in ((name, cut_in_the_middle(text, _COLUMNS)) for name, text in sample.lines)
    )


def _output(html: str) -> Show:
    """A new output of the running cell, which IPython rewrites."""
    display: Any = import_module("IPython.display")
    handle = display.display(display.HTML(html), display_id=True)
    return lambda changed: handle.update(display.HTML(changed))
