"""Section of the report with the flip map: a row per prompt, a cell per visit, coloured by the outcome of the visit.

All prompts are counted. Some of each kind are drawn, evenly chosen, and the page says how many.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from rekindle.observability import page
from rekindle.observability.csv_text import csv_text
from rekindle.observability.flips import Flips, Kind
from rekindle.observability.formatting import counted, grouped, percent
from rekindle.observability.report.texts import Texts
from rekindle.observability.summary import Summary
from rekindle.observability.svg import Layer, MapRow, outcome_map, stacked_columns
from rekindle.observability.visits import OUTCOMES
from rekindle.types import Outcome

__all__ = ["flip_map", "mapped_prompts"]

_WORDS = {Outcome.ALL_WRONG: "all wrong", Outcome.MIXED: "mixed", Outcome.ALL_CORRECT: "all correct"}
_COLORS = {Outcome.ALL_WRONG: "wrong", Outcome.MIXED: "mixed", Outcome.ALL_CORRECT: "right"}
_ROWS = 32
"""Most prompts of a kind that are drawn."""
_STAYED = 12
"""Most of those that ended as they began."""
_CELLS = 40
"""Most cells of a row; of a prompt with more visits a cell is several visits in turn."""
_NAMED = 8
"""Most prompts of a kind in its table."""
_HISTORY = 12
"""Most visits written out in a table."""


def mapped_prompts(summary: Summary) -> list[str]:
    """Ids of the prompts that are drawn."""
    flips = Flips(summary.visits)
    return [flips.visits.ids[place] for places in _drawn(flips).values() for place in places]


def _drawn(flips: Flips) -> dict[Kind, list[int]]:
    """Prompts of each kind that are drawn; none where no prompt has two outcomes."""
    kinds = flips.kinds if len(flips.revisited) else ()
    return {kind: _chosen(flips.prompts(kind), _STAYED if len(set(kind)) == 1 else _ROWS) for kind in kinds}


def flip_map(summary: Summary, texts: Texts) -> str:
    """Outcomes by visit; empty where no prompt has two outcomes."""
    flips = Flips(summary.visits)
    if not len(flips.revisited):
        return ""
    shown = _drawn(flips)
    per_cell = -(-flips.most_visits // _CELLS)
    return page.section(
        "Flips: prompts by their visits",
        page.paragraph(_story(flips)),
        page.grid(_by_visit(flips), _counts(flips)),
        page.subheading("The map"),
        page.paragraph(_note(per_cell), "note"),
        page.legend({_WORDS[outcome]: _COLORS[outcome] for outcome in OUTCOMES}),
        *(part for kind, places in shown.items() for part in _kind(flips, kind, places, per_cell, texts)),
    )


def _story(flips: Flips) -> str:
    """How many prompts flipped, in words."""
    wrong, mixed, correct = OUTCOMES
    revisited = len(flips.revisited)
    text = (
        f"{counted(revisited, 'prompt')} had at least two visits, and {grouped(flips.once)} had one. Of the former, "
        f"{grouped(sum(flips.count(wrong, last) for last in OUTCOMES))} were all wrong at their first visit; at their "
        f"last one {grouped(flips.count(wrong, mixed))} of these were mixed and "
        f"{grouped(flips.count(wrong, correct))} all correct."
    )
    risen = flips.count(mixed, correct)
    fallen = flips.count(correct, wrong) + flips.count(mixed, wrong) + flips.count(correct, mixed)
    text += f" {grouped(risen)} went from mixed to all correct, and {grouped(fallen)} fell back."
    return f"{text} A small group misjudges a prompt, so some flips are chance."


def _note(per_cell: int) -> str:
    cell = "one visit" if per_cell == 1 else f"{per_cell} visits in turn, mixed where their rewards differ"
    return (
        f"A row is a prompt, and a cell is {cell}, from the first on the left to the last. Of every kind at most "
        f"{_ROWS} prompts are drawn ({_STAYED} of those that ended as they began), evenly chosen from those with the "
        "most visits to those with the fewest. The numbers are those of all prompts."
    )


def _by_visit(flips: Flips) -> str:
    """Number of prompts by outcome at their first, second, ... visit."""
    counts = flips.by_visit(_CELLS)
    layers = [
        Layer(_WORDS[outcome], counts[:, place].astype(float).tolist(), _COLORS[outcome])
        for place, outcome in enumerate(OUTCOMES)
    ]
    edges = [float(visit) for visit in range(1, len(counts) + 2)]
    heading = "Outcomes of all prompts by visit"
    chart = stacked_columns(
        layers,
        edges,
        title=heading,
        description=", ".join(f"{layer.name} {grouped(sum(layer.values))}" for layer in layers),
        x_label="visit",
        y_format=grouped,
        height=180,
    )
    note = "How many prompts had a first, second, ... visit, and its outcome."
    if flips.most_visits > _CELLS:
        note += f" The first {_CELLS} of at most {grouped(flips.most_visits)} visits."
    data = csv_text({"visit": edges[:-1], **{layer.name: layer.values for layer in layers}})
    return page.figure(heading, chart, note, {layer.name: layer.color for layer in layers}, data=data)


def _counts(flips: Flips) -> str:
    """First outcome by last outcome, of all prompts with two visits."""
    revisited = len(flips.revisited)
    rows: list[tuple[page.Cell, ...]] = [
        (f"first {_WORDS[first]}", *(_of(flips.count(first, last), revisited) for last in OUTCOMES))
        for first in OUTCOMES
    ]
    columns = ("", *(f"last {_WORDS[last]}" for last in OUTCOMES))
    return page.table("From the first to the last visit", columns, rows, f"Of {counted(revisited, 'prompt')}.")


def _of(count: int, whole: int) -> page.Cell:
    return grouped(count), percent(count, whole)


def _kind(flips: Flips, kind: Kind, places: Sequence[int], per_cell: int, texts: Texts) -> Iterator[str]:
    """Heading, rows and table of the prompts of a kind."""
    first, last = kind
    whole = len(flips.prompts(kind))
    name = f"Stayed {_WORDS[first]}" if first == last else f"From {_WORDS[first]} to {_WORDS[last]}"
    drawn = "" if len(places) == whole else f", {len(places)} of them drawn"
    heading = f"{name}: {counted(whole, 'prompt')}{drawn}"
    rows = [_row(flips, place, per_cell, texts) for place in places]
    width = -(-flips.most_visits // per_cell)
    chart = outcome_map(rows, width, title=heading, description=f"Outcomes of {counted(len(rows), 'prompt')} by visit")
    named = [_named(flips, place, texts) for place in places[:_NAMED]]
    table = page.table(
        f"{name}, most visits first", ("prompt", "visits", "right of rollouts, by visit"), named, kind="plain"
    )
    yield page.map_row(heading, chart, page.fold(f"{len(named)} of these prompts by their text", table))


def _row(flips: Flips, prompt: int, per_cell: int, texts: Texts) -> MapRow:
    visits, known = flips.of(prompt), flips.visits.known
    cells = []
    for start in range(0, len(visits), per_cell):
        codes = set(known.outcome[visits[start : start + per_cell]].tolist())
        cells.append(_COLORS[OUTCOMES[codes.pop()] if len(codes) == 1 else Outcome.MIXED])
    return MapRow(f"{texts.words(flips.visits.ids[prompt])}\n{_history(flips, prompt)}", cells)


def _named(flips: Flips, prompt: int, texts: Texts) -> tuple[page.Cell, ...]:
    return texts.cell(flips.visits.ids[prompt]), grouped(len(flips.of(prompt))), _history(flips, prompt)


def _history(flips: Flips, prompt: int) -> str:
    """``"0/4 1/4 4/4"``: right rollouts of every visit, the middle of a long history left out."""
    known, visits = flips.visits.known, flips.of(prompt)
    words = [f"{known.successes[visit]}/{known.n[visit]}" for visit in visits]
    if len(words) > _HISTORY:
        half = _HISTORY // 2
        words = [*words[:half], "\N{HORIZONTAL ELLIPSIS}", *words[-half:]]
    return " ".join(words)


def _chosen(prompts: NDArray[np.int64], most: int) -> list[int]:
    """At most ``most`` of the prompts, evenly spread, in their order."""
    count = min(most, len(prompts))
    return [int(prompts[index * len(prompts) // count]) for index in range(count)]
