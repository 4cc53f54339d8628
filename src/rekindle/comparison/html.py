"""The comparison as one HTML file that opens offline, in the style of the report."""

from collections.abc import Iterator, Sequence

from rekindle.comparison.axes import AXES
from rekindle.comparison.comparing import Comparison
from rekindle.comparison.content import explanation, parts
from rekindle.comparison.document import Part, Table
from rekindle.comparison.drawing import DRAWN, arm_curves, arm_series
from rekindle.comparison.latex import latex_text
from rekindle.comparison.markdown import markdown_text
from rekindle.comparison.notes import notes
from rekindle.comparison.samples import Sample, last_samples
from rekindle.comparison.story import claims, title
from rekindle.comparison.tidy import csv_text, curves_csv
from rekindle.comparison.words import finding, metric_name, plus_minus
from rekindle.observability import page
from rekindle.observability.curves import ends
from rekindle.observability.formatting import counted, excerpt, grouped, rate
from rekindle.observability.svg import line_chart

__all__ = ["html_page"]

COLORS = ("soft", "ember", "teal", "level_5", "level_1", "level_4", "level_3", "rescued_easy")
"""Colour classes of the arms; the baseline is grey."""
_AFTER_SAMPLES = {"settings", "runs"}
_NAME = 200
_TITLE = 160
_FOLDED = "Both intervals, p-values and findings at each of these costs"
_MARKERS = 40
"""Most points of a line that are shown as dots."""


def html_page(comparison: Comparison) -> str:
    """The page as text.

    Raises:
        RunError: A file of samples is broken.
    """
    written, made = _written(comparison), parts(comparison)
    content = [
        _head(comparison),
        *(_part(part, comparison) for part in made if part.kind not in _AFTER_SAMPLES),
        written,
        *(_part(part, comparison) for part in made if part.kind in _AFTER_SAMPLES),
        page.section("What the numbers mean", *map(page.paragraph, explanation(comparison))),
        _downloads(comparison),
        page.footer("Written by rekindle. Hover over a chart for its numbers."),
    ]
    name = excerpt(title(comparison), _TITLE)
    return page.document(name, "\n".join(part for part in content if part), filtered=bool(written))


def _head(comparison: Comparison) -> str:
    arms, runs = counted(len(comparison.arms), "arm"), counted(len(comparison.runs), "run")
    parts_of_head = [
        page.paragraph(f"Comparison of {arms}, {runs}", "over"),
        page.heading(excerpt(title(comparison), _TITLE)),
        page.paragraph(" ".join(claims(comparison)), "lead"),
        *(page.paragraph(note, "note") for note in notes(comparison)),
        page.tiles(_tiles(comparison)) if comparison.axis in comparison.equal else "",
    ]
    return "\n".join(["<header>", *(part for part in parts_of_head if part), "</header>"])


def _tiles(comparison: Comparison) -> Iterator[tuple[str, str, str]]:
    """Accuracy of every arm at equal cost."""
    measure = comparison.equal[comparison.axis]
    for row in measure.rows[: len(COLORS)]:
        value = rate(sum(row.known) / len(row.known)) if row.known else "–"
        if row.paired is None:
            remark = f"baseline, {counted(len(row.known), 'seed')}"
        else:
            remark = f"{plus_minus(row.paired.mean)}: {finding(row, measure)}" if row.paired.count else "not compared"
        yield row.arm, value, remark


def _part(part: Part, comparison: Comparison) -> str:
    tables = [_table(table) for table in part.tables]
    if part.kind == "main":
        tables.insert(0, _figure(comparison, comparison.axis, f"By {AXES[comparison.axis].name}"))
    if part.kind == "costs":
        others = [axis for axis in comparison.axes[1:] if axis in comparison.equal]
        figures = page.grid(*(_figure(comparison, axis, f"By {AXES[axis].name}") for axis in others))
        matrix, full = tables[: -len(others)], page.grid(*tables[-len(others) :])
        tables = [figures, *matrix, page.fold(_FOLDED, full)]
    return page.section(part.heading, *(page.paragraph(text, "soft") for text in part.sentences), *_spaced(tables))


def _spaced(cards: Sequence[str]) -> Iterator[str]:
    """Cards below each other, with the distance that a grid gives."""
    return (page.grid(card) if card.startswith(("<figure", '<div class="card"')) else card for card in cards)


def _table(table: Table) -> str:
    return page.table(table.name, table.columns, table.rows, table.note)


def _figure(comparison: Comparison, axis: str, heading: str) -> str:
    """Mean and range of every arm over a cost."""
    curves, kind, name = arm_curves(comparison, axis)[:DRAWN], AXES[axis], metric_name(comparison.metric)
    values = [value for curve in curves for value in (*curve.low, *curve.high)]
    share = bool(values) and min(values) >= 0 and max(values) <= 1
    lines = arm_series(curves, COLORS, markers=_MARKERS)
    main = axis == comparison.axis
    chart = line_chart(
        lines,
        title=f"{name} by {kind.name}",
        description="; ".join(f"{line.name} {ends(line.y, rate)}" for line in lines[::-1]),
        x_label=kind.name,
        y_limits=(0.0, 1.0) if share else None,
        height=300 if main else 210,
    )
    note = "Mean over the seeds, and the range of the seeds as a band." if main else ""
    if main and len(comparison.arms) > DRAWN:
        note += f" The first {DRAWN} of {len(comparison.arms)} arms are drawn."
    legend = {f"{line.name} (dashed)" if line.dashed else line.name: line.color for line in lines[::-1]}
    return page.figure(heading, chart, note, legend)


# -- samples ----------------------------------------------------------------------------------------------------------


def _written(comparison: Comparison) -> str:
    """The last samples of every arm, with search and filters; "" where no run kept any."""
    groups = last_samples(comparison.arms)
    found = [sample for some in groups.values() for sample in some]
    if not found:
        return ""
    note = (
        "From samples.jsonl of one run of each arm, at its last evaluation, or at its last step where held-out samples "
        "are not kept. An accuracy is worth what its verifier is: look at what is called right."
    )
    choices = {
        key: {value: value for value in values}
        for key in _attributes(found[0])
        if len(values := dict.fromkeys(_attributes(sample)[key] for sample in found)) > 1
    }
    shown = [page.samples(name, *map(_sample, some)) for name, some in groups.items()]
    return page.section(
        "What each arm writes",
        page.paragraph(note, "soft"),
        page.filters("Filter the samples", choices),
        page.sample_list("Samples", *shown),
    )


def _attributes(sample: Sample) -> dict[str, str]:
    return {
        "arm": sample.arm,
        "kind": sample.how,
        "reward": sample.verdict,
        "truncated": "yes" if sample.truncated else "no",
    }


def _sample(sample: Sample) -> str:
    cut = ", truncated" if sample.truncated else ""
    about = f"{sample.arm}, {sample.how}, {sample.verdict}, {grouped(sample.tokens)} tokens{cut}"
    name = excerpt(f"{about}: {sample.completion.strip()}", _NAME).replace("\n", " ")
    entries = [
        ("run", f"seed {sample.seed}, step {grouped(sample.step)}"),
        ("prompt", sample.prompt),
        ("completion", sample.completion),
        *sample.further,
    ]
    return page.record(name, entries, _attributes(sample))


# -- downloads --------------------------------------------------------------------------------------------------------


def _downloads(comparison: Comparison) -> str:
    """Links to the data, which is in the page itself."""
    files = (
        ("comparison.csv", csv_text(comparison), "text/csv", "every value, interval and finding, a line each"),
        ("curves.csv", curves_csv(comparison), "text/csv", "every evaluation of every run"),
        ("comparison.md", markdown_text(comparison), "text/markdown", "this page's text and tables"),
        ("comparison.tex", latex_text(comparison), "text/plain", "the tables for a paper"),
    )
    entries = ((page.download(name, text, name, kind), about) for name, text, kind, about in files)
    return page.section("Data", page.downloads(*entries))
