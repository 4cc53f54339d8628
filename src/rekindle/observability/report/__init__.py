"""The report of a run: one self-contained HTML file that opens offline and is understood from its first screen."""

from pathlib import Path

from rekindle.evaluation.atomic_write import atomic_write
from rekindle.observability import page
from rekindle.observability.ledger_file import RunError
from rekindle.observability.narrative import title
from rekindle.observability.report import sections
from rekindle.observability.report.costs import cost, saved
from rekindle.observability.report.fates import fates
from rekindle.observability.report.flip_map import flip_map, mapped_prompts
from rekindle.observability.report.head import head
from rekindle.observability.report.opinions import opinions
from rekindle.observability.report.prompts import listed_prompts, prompts
from rekindle.observability.report.sample_choice import chosen
from rekindle.observability.report.samples import samples
from rekindle.observability.report.settings import repeat, run_warnings, settings
from rekindle.observability.report.signals import signals
from rekindle.observability.report.texts import Texts
from rekindle.observability.runs import load_run
from rekindle.observability.self_play.section import self_play
from rekindle.observability.summary import Summary

__all__ = ["render_report", "write_report"]

_LAST = (
    "Written by rekindle. Hover over a chart for its numbers; CSV saves them. The files next to this page hold all. "
    "The page is one file, and asks for nothing from anywhere."
)


def write_report(directory: str | Path) -> Path:
    """Write ``report.html`` into the directory of a finished or active run, and return its path.

    A reload never shows half a page. Lone surrogates of a policy's text, which UTF-8 cannot encode, become "?".

    Raises:
        RunError: There is no run, one of its files is broken, or the report cannot be written.
    """
    run = load_run(directory)
    path, text = run.directory / "report.html", render_report(Summary(run))
    with atomic_write(path, RunError, "free space, then write it with `rekindle report`") as partial:
        partial.write_text(text, encoding="utf-8", errors="replace")
    return path


def render_report(summary: Summary) -> str:
    """The page as text."""
    lines, count = chosen(summary.run.sample_lines(), summary.step)
    named = (*mapped_prompts(summary), *listed_prompts(summary))
    texts = Texts(summary, named, (one.line for one in lines))
    shown = samples(summary, lines, count, texts)
    parts = [
        head(summary),
        sections.accuracy(summary),
        signals(summary),
        opinions(summary),
        sections.composition(summary),
        flip_map(summary, texts),
        prompts(summary, texts),
        shown,
        sections.levels(summary),
        self_play(summary),
        sections.recycling(summary),
        fates(summary),
        sections.pool(summary),
        sections.search(summary),
        cost(summary),
        saved(summary),
        run_warnings(summary),
        settings(summary),
        repeat(summary),
        page.footer(_LAST),
    ]
    return page.document(title(summary), "\n".join(part for part in parts if part), filtered=bool(shown))
