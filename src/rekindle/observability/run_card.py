"""What a notebook shows of a run: a few lines, and where its files are."""

from collections.abc import Iterator
from html import escape
from typing import TYPE_CHECKING

from rekindle.observability.formatting import counted, excerpt, grouped, rate
from rekindle.observability.narrative import accuracy_change, title
from rekindle.observability.summary import Summary
from rekindle.types import UserError

if TYPE_CHECKING:
    from rekindle.observability.runs import Run

__all__ = ["html_card"]

_LONGEST = 300


def html_card(run: "Run") -> str:
    """The run as a small table; every text is escaped. A broken file becomes a sentence."""
    try:
        name, rows = title(Summary(run)), list(_rows(Summary(run)))
    except UserError as error:
        name, rows = "run", [("error", str(error))]
    cells = "".join(
        f'<tr><td style="text-align:left">{_safe(key)}</td><td style="text-align:left">{_safe(text)}</td></tr>'
        for key, text in [*rows, ("directory", str(run.directory))]
    )
    return f"<div><b>{escape(name)}</b><table>{cells}</table></div>"


def _rows(summary: Summary) -> Iterator[tuple[str, str]]:
    yield "steps", f"{counted(summary.step, 'step')}, {counted(summary.updates, 'update')}"
    yield "rollouts", grouped(summary.total("rollouts"))
    for kind in ("accuracy", "greedy"):
        if change := accuracy_change(summary, kind):
            yield kind, rate(change.start) + ("" if change.end is None else f" -> {rate(change.end)}")
    if count := sum(one.count for one in summary.run.warnings()):
        yield "warnings", grouped(count)
    directory = summary.run.directory
    for name in ("model", "report.html"):
        if (directory / name).exists():
            yield name.removesuffix(".html"), str(directory / name)


def _safe(text: str) -> str:
    return escape(excerpt(text, _LONGEST))
