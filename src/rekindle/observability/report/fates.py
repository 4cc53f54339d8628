"""Section of the report with the fate of every rollout: by step, in all, and whether ledger and step log agree."""

from collections.abc import Sequence

from rekindle.observability import page
from rekindle.observability.csv_text import csv_text
from rekindle.observability.curves import ROWS
from rekindle.observability.formatting import grouped, percent
from rekindle.observability.narrative import conservation
from rekindle.observability.rows import buckets
from rekindle.observability.summary import Summary
from rekindle.observability.svg import Bar, Layer, horizontal_bars, stacked_columns
from rekindle.types import Fate

__all__ = ["fates"]

_COLUMNS = 100
"""Most columns of the chart."""

_FATES = {
    Fate.TRAINED: ("trained", "in an update", "fresh"),
    Fate.RECYCLED: ("recycled", "no signal, back in the pool", "never_solved"),
    Fate.RETIRED: ("retired", "no signal, out of the pool", "always_solved"),
    Fate.EXCESS: ("excess", "signal, not needed", "not_needed"),
    Fate.EXPIRED: ("expired", "policy too old", "lost"),
    Fate.FAILED: ("failed", "engine or verifier", "level_4"),
}


def fates(summary: Summary) -> str:
    """The fate of every rollout."""
    if not summary.accounted_rollouts:
        return ""
    total = summary.accounted_rollouts
    bars = [
        Bar(f"{name}: {meaning}", count.rollouts, percent(count.rollouts, total), color)
        for fate, (name, meaning, color) in _FATES.items()
        if (count := summary.fates[fate]).rollouts
    ]
    balanced, words = conservation(summary)
    chart = horizontal_bars(
        bars, whole=total, title="Fate of all rollouts", description=", ".join(f"{b.name} {b.text}" for b in bars)
    )
    return page.section(
        "The fate of every rollout",
        page.paragraph(words, "" if balanced else "alarm"),
        page.grid(_by_step(summary), page.figure("Share of the rollouts", chart), _table(summary)),
    )


def _by_step(summary: Summary) -> str:
    """Rollouts of every step by fate; the columns add up to all rollouts."""
    steps, counts = summary.fates_by_step
    if not len(steps):
        return ""
    column = {fate: place for place, fate in enumerate(Fate)}
    shown = [column[fate] for fate in _FATES if counts[:, column[fate]].any()]
    names, colors = ({place: _FATES[fate][part] for fate, place in column.items()} for part in (0, 2))
    places = list(buckets(len(steps), _COLUMNS))
    chart = stacked_columns(
        [Layer(names[place], [float(counts[part, place].sum()) for part in places], colors[place]) for place in shown],
        [float(steps[part.start]) for part in places] + [float(steps[-1]) + 1],
        title="Fate of the rollouts of every step",
        description=", ".join(f"{names[place]} {grouped(counts[:, place].sum())}" for place in shown),
        x_label="step",
        y_format=grouped,
    )
    several = f" of {places[0].stop} steps" if places[0].stop > 1 else " of a step"
    note = f"A column is the rollouts{several}; all columns add up to {grouped(counts.sum())}."
    rows = list(buckets(len(steps), ROWS))
    columns = {
        names[place]: [float(counts[part, place].sum()) for part in rows] for place in (column[fate] for fate in _FATES)
    }
    first = "step" if len(steps) <= ROWS else "last step of the sum"
    data = csv_text({first: [float(steps[part.stop - 1]) for part in rows], **columns})
    legend = {names[place]: colors[place] for place in shown}
    return page.figure("Rollouts of every step", chart, note, legend, data=data, kind="wide")


def _table(summary: Summary) -> str:
    """Groups and rollouts by fate; in self-play also by role."""
    roles = {role: summary.role_fates(role) for role in ("solver", "proposer")} if summary.self_play else {}
    total = summary.accounted_rollouts

    def line(name: str, found: Sequence[Fate]) -> tuple[str, ...]:
        groups, rollouts = (
            sum(getattr(summary.fates[fate], kind) for fate in found) for kind in ("groups", "rollouts")
        )
        by_role = (grouped(sum(counts[fate].rollouts for fate in found)) for counts in roles.values())
        return name, grouped(groups), grouped(rollouts), percent(rollouts, total), *by_role

    rows = [line(name, [fate]) for fate, (name, *_) in _FATES.items()]
    note = "The last two columns are the rollouts of each role." if roles else ""
    return page.table(
        "Counts",
        ("fate", "groups", "rollouts", "share", *roles),
        [*rows, line("all", list(Fate))],
        note,
        kind="wide" if roles else "",
    )
