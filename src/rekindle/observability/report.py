"""The report of a run: one self-contained HTML file that opens offline and says first what happened, in words."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rekindle.observability import page
from rekindle.observability.formatting import compact, duration, flops, grouped, percent, rate
from rekindle.observability.narrative import accuracy_change, advice, conservation, title, told
from rekindle.observability.runs import load_run
from rekindle.observability.summary import LOST, TAUGHT, Summary, averages, buckets, number
from rekindle.observability.svg import Bar, Layer, Series, horizontal_bars, line_chart, stacked_columns
from rekindle.types import Fate

__all__ = ["render_report", "write_report"]

_POINTS = 200
"""At most so many points a line and columns a chart; longer runs are averaged."""

_PROMPTS_LISTED = 10

_NAMES = {
    "fresh": "taught, fresh",
    "returned": "taught, returned",
    "rescued_hard": "taught, recycled from never solved",
    "rescued_easy": "taught, recycled from always solved",
    "always_solved": "always solved",
    "never_solved": "never solved",
    "not_needed": "signal, not needed",
    LOST: "expired or failed",
}

_FATES = {
    Fate.TRAINED: ("trained", "in an update, with gradient", "fresh"),
    Fate.RECYCLED: ("recycled", "no signal, prompt back in the pool", "never_solved"),
    Fate.RETIRED: ("retired", "no signal, prompt left the pool", "always_solved"),
    Fate.EXCESS: ("excess", "signal, not needed this time", "not_needed"),
    Fate.EXPIRED: ("expired", "sampled by a policy too old", "lost"),
    Fate.FAILED: ("failed", "engine, environment or verifier failed", "lost"),
}


def write_report(directory: str | Path) -> Path:
    """Write ``report.html`` into a run directory, also of a run still going on, and return its path.

    Raises:
        RunError: There is no run, or one of its files is broken.
    """
    path = Path(directory) / "report.html"
    text = render_report(Summary(load_run(directory)))
    # Written beside and renamed, so that whoever reloads the page never gets half of it.
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)
    return path


def render_report(summary: Summary) -> str:
    """The page as text."""
    parts = [
        _head(summary),
        _accuracy(summary),
        _composition(summary),
        _recycled(summary),
        _fates(summary),
        _pool(summary),
        _cost(summary),
        _signals(summary),
        _prompts(summary),
        _settings(summary),
        "<footer>Written by rekindle. Hover a chart for its numbers; the files beside this page hold them all.</footer>",
    ]
    return page.document(title(summary), "\n".join(part for part in parts if part))


def _head(summary: Summary) -> str:
    suggestion = advice(summary)
    balanced, words = conservation(summary)
    return "\n".join(
        [
            "<header>",
            page.paragraph(f"Run {summary.run.directory.resolve().name}", "over"),
            page.heading(title(summary)),
            page.paragraph(" ".join(told(summary)), "lead"),
            page.paragraph(suggestion, "advice") if suggestion else "",
            "" if balanced else page.paragraph(words, "alarm"),
            page.tiles(_tiles(summary)),
            "</header>",
        ]
    )


def _tiles(summary: Summary) -> Iterator[tuple[str, str, str]]:
    for kind, name in (("accuracy", "Held-out accuracy"), ("greedy", "Greedy accuracy")):
        if change := accuracy_change(summary, kind):
            start, end = change
            yield (name, rate(start if end is None else end), "at the start" if end is None else f"from {rate(start)}")
    groups = summary.composition
    if groups.total():
        yield "Groups that taught", percent(groups.share(*TAUGHT)), f"{grouped(groups.total(*TAUGHT))} of them"
        recycled = groups.total("rescued_hard", "rescued_easy")
        yield "Recycled, of these", percent(summary.recycled_share), f"{grouped(recycled)} groups"
    rollouts, seconds = summary.total("rollouts"), summary.total("seconds")
    yield "Updates", grouped(summary.step), ""
    yield "Rollouts", compact(rollouts), f"{grouped(rollouts / seconds)} a second" if seconds else ""
    yield "Generated tokens", compact(summary.total("generated_tokens")), ""
    yield "Compute", flops(summary.total("flops")), f"in {duration(seconds)}" if seconds else ""


def _accuracy(summary: Summary) -> str:
    if not summary.evaluations:
        return ""
    axes = (("rollouts", "rollouts"), ("tokens", "generated tokens"))
    charts = [
        page.figure(f"By {name}", _accuracy_chart(summary, spent, name), legend=_accuracy_legend(summary))
        for spent, name in axes
    ]
    prompts = summary.setting("eval", "prompts")
    note = "Sampled: mean pass@1 at temperature 1. Greedy: the most probable answer."
    band = f" The band is what {grouped(prompts)} prompts leave open (95%)." if prompts else ""
    return page.section("Accuracy on held-out prompts", page.paragraph(note + band, "soft"), page.grid(*charts))


def _accuracy_legend(summary: Summary) -> dict[str, str]:
    greedy = any(evaluation.greedy is not None for evaluation in summary.evaluations)
    return {"sampled": "ember"} | ({"greedy": "teal"} if greedy else {})


def _accuracy_chart(summary: Summary, spent: str, name: str) -> str:
    made = [summary.evaluations[place.stop - 1] for place in buckets(len(summary.evaluations), _POINTS)]
    xs = [float(getattr(evaluation, spent)) for evaluation in made]
    sampled = [evaluation.accuracy for evaluation in made]
    dots = len(made) <= 40
    lines = [
        Series("greedy", xs, [evaluation.greedy for evaluation in made], "teal", dots),
        Series("sampled", xs, sampled, "ember", dots, band=_band(sampled, summary.setting("eval", "prompts"))),
    ]
    first, last = made[0], made[-1]
    description = ", ".join(
        f"{kind} {rate(start)} at the start, {rate(end)} at the end"
        for kind, start, end in (("sampled", first.accuracy, last.accuracy), ("greedy", first.greedy, last.greedy))
        if start is not None and end is not None
    )
    return line_chart(
        lines,
        title=f"Accuracy by {name}",
        description=description,
        x_label=name,
        y_limits=(0.0, 1.0),
        y_format=rate,
    )


def _band(accuracies: Sequence[float | None], prompts: int | None) -> tuple[list[float], list[float]] | None:
    """A 95 % interval that counts prompts, not rollouts: samples of one prompt are not independent."""
    known = [value for value in accuracies if value is not None]
    if not prompts or len(known) < len(accuracies):
        return None
    widths = [1.96 * (max(value * (1 - value), 0.0) / prompts) ** 0.5 for value in known]
    pairs = list(zip(known, widths, strict=True))
    return [max(0.0, value - width) for value, width in pairs], [min(1.0, value + width) for value, width in pairs]


def _composition(summary: Summary) -> str:
    groups = summary.composition
    if not groups.total():
        return ""
    slices = list(buckets(len(groups.steps), _POINTS))
    edges = [float(groups.steps[place.start]) for place in slices] + [float(groups.steps[-1]) + 1]
    shown = [name for name in _NAMES if groups.total(name)]
    layers = [Layer(_NAMES[name], [float(groups.of(name)[place].mean()) for place in slices], name) for name in shown]
    width = slices[0].stop
    chart = stacked_columns(
        layers,
        edges,
        title="What became of the groups of every step",
        description=", ".join(f"{_NAMES[name]} {percent(groups.share(name))}" for name in shown),
        x_label="step",
        height=280,
    )
    note = "Coloured groups taught; grey ones were paid for and carried no signal."
    note += f" Each column is the mean of {width} steps." if width > 1 else ""
    legend = {_NAMES[name]: name for name in shown}
    return page.section("What became of the groups", page.figure("Groups of every step", chart, note, legend))


def _recycled(summary: Summary) -> str:
    control, groups = summary.null_control, summary.composition
    if control is None:
        return ""
    shares = (
        ("this run", control.recycled_share, "ember"),
        ("same sampler, frozen policy", control.frozen_share, "soft"),
    )
    bars = [Bar(name, value, percent(value), color) for name, value, color in shares]
    early, late = (percent(groups.quarter(index).share("always_solved")) for index in (0, 3))
    text = (
        "A recycled share alone proves nothing: fresh prompts run out and small groups misjudge, so the same sampler "
        "recycles over a policy that never changes. What a frozen policy does not give is a growing share of prompts "
        f"that are always solved: here {early} of the groups in the first quarter of the steps, {late} in the last."
    )
    chart = horizontal_bars(
        bars, title="Recycled share and null control", description=f"{bars[0].text}, {bars[1].text}"
    )
    return page.section(
        "Recycling beside its null control", page.paragraph(text), page.grid(page.figure("Recycled", chart))
    )


def _fates(summary: Summary) -> str:
    if not summary.accounted_rollouts:
        return ""
    total = summary.accounted_rollouts
    bars, rows = [], []
    for fate, (name, meaning, color) in _FATES.items():
        count = summary.fates[fate]
        if count.rollouts:
            bars.append(Bar(f"{name} – {meaning}", count.rollouts, percent(count.rollouts, total), color))
        rows.append((name, grouped(count.groups), grouped(count.rollouts), percent(count.rollouts, total)))
    rows.append(("all", grouped(sum(count.groups for count in summary.fates.values())), grouped(total), "100%"))
    balanced, words = conservation(summary)
    chart = horizontal_bars(
        bars, title="Fate of all rollouts", description=", ".join(f"{b.name} {b.text}" for b in bars)
    )
    return page.section(
        "The fate of every rollout",
        page.paragraph(words, "" if balanced else "alarm"),
        page.grid(
            page.figure("Share of the rollouts", chart),
            page.table("Counts", ("fate", "groups", "rollouts", "share"), rows),
        ),
    )


def _pool(summary: Summary) -> str:
    groups = summary.composition
    if not groups.total():
        return ""
    slices = list(buckets(len(groups.steps), _POINTS))
    steps = [float(groups.steps[place.stop - 1]) for place in slices]
    batch = Series("taught", steps, [float(groups.of(*TAUGHT)[place].mean()) for place in slices], "ember")
    wanted = summary.setting("train", "groups_per_step")
    limit = [Series("wanted", steps, [float(wanted)] * len(steps), "soft", dashed=True)] if wanted else []
    chart = line_chart(
        [*limit, batch],
        title="Groups in each update",
        description=f"{compact(batch.y[0] or 0)} at the start, {compact(batch.y[-1] or 0)} at the end",
        x_label="step",
    )
    legend = {"groups that taught": "ember"} | ({"train.groups_per_step": "soft"} if limit else {})
    return page.section("Pool and batch", page.grid(page.figure("Batch size", chart, legend=legend), _live(summary)))


def _live(summary: Summary) -> str:
    live = _series(summary, "pool/live", "live", "teal")
    if live is None:
        return ""
    size = _series(summary, "pool/size", "size", "soft", dashed=True)
    resets = int(number(summary.last, "pool/resets") or 0)
    chart = line_chart(
        [line for line in (size, live) if line],
        title="Prompts that can be drawn",
        description=f"{resets} resets of the pool",
        x_label="step",
    )
    note = f"The pool was reset {resets} time{'s' if resets != 1 else ''}." if resets else ""
    return page.figure("Live prompts", chart, note, {"live": "teal"} | ({"in the pool": "soft"} if size else {}))


def _series(summary: Summary, key: str, name: str, color: str, *, dashed: bool = False) -> Series | None:
    """A metric over the steps, averaged where there are many; None when no step has it."""
    rows = [row for row in summary.run.metrics if key in row]
    values = [number(row, key) for row in rows]
    if all(value is None for value in values):
        return None
    steps = [float(rows[place.stop - 1]["step"]) for place in buckets(len(rows), _POINTS)]
    return Series(name, steps, averages(values, _POINTS), color, dashed=dashed)


def _cost(summary: Summary) -> str:
    if not summary.step:
        return ""
    names = ("generate", "verify", "train", "other")
    spent = [sum(number(row, f"time/{name}") or 0.0 for row in summary.run.metrics) for name in names]
    bars = [
        Bar(name, value, f"{duration(value)} · {percent(value, sum(spent))}", "teal")
        for name, value in zip(names, spent, strict=True)
    ]
    chart = horizontal_bars(bars, title="Time", description=", ".join(f"{bar.name} {bar.text}" for bar in bars))
    totals = [
        ("prompt tokens", grouped(summary.total("prompt_tokens"))),
        ("generated tokens", grouped(summary.total("generated_tokens"))),
        ("trained tokens", grouped(summary.total("trained_tokens"))),
        ("compute", flops(summary.total("flops"))),
        ("wall-clock time", duration(summary.total("seconds"))),
        ("processor time", duration(summary.total("cpu_seconds"))),
    ]
    return page.section(
        "Cost", page.grid(page.figure("Where the time went", chart), page.table("Totals", ("", ""), totals))
    )


def _signals(summary: Summary) -> str:
    shown = {
        "reward/mean": "Mean reward of the rollouts",
        "entropy": "Entropy, nats a token",
        "grad_norm": "Gradient norm",
        "temperature/mean": "Mean temperature",
    }
    figures = []
    for key, heading in shown.items():
        if line := _series(summary, key, heading, "teal"):
            ends = [value for value in line.y if value is not None]
            description = f"{compact(ends[0])} at the start, {compact(ends[-1])} at the end"
            chart = line_chart([line], title=heading, description=description, x_label="step", height=130)
            figures.append(page.figure(heading, chart))
    return page.section("Training signals", page.grid(*figures)) if figures else ""


def _prompts(summary: Summary) -> str:
    drawn, unsolved = summary.prompt_counts()
    if not drawn:
        return ""
    columns = ("task", "visits", "rollouts", "solved", "taught")

    def cells(row: Mapping[str, Any]) -> tuple[str, ...]:
        solved = percent(row["successes"], row["rollouts"])
        return row["task_id"], grouped(row["visits"]), grouped(row["rollouts"]), solved, grouped(row["taught"])

    never = [cells(row)[:3] for row in summary.never_solved(_PROMPTS_LISTED)]
    text = f"{grouped(drawn)} different prompts were drawn; {grouped(unsolved)} of them ({percent(unsolved, drawn)}) "
    return page.section(
        "Prompts",
        page.paragraph(text + "were never solved."),
        page.grid(
            page.table("Drawn most often", columns, map(cells, summary.most_drawn(_PROMPTS_LISTED))),
            page.table("Never solved, most rollouts first", columns[:3], never) if never else "",
        ),
    )


def _settings(summary: Summary) -> str:
    config = (summary.run.directory / "config.toml").read_text(encoding="utf-8")
    rows = list(_flattened(summary.run.info))
    return page.section(
        "Settings",
        page.details("Configuration, complete (config.toml)", config),
        page.table("Made with", ("", ""), rows) if rows else "",
    )


def _flattened(info: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    for key, value in info.items():
        if isinstance(value, dict):
            yield from _flattened(value, f"{above}{key} ")
        else:
            yield f"{above}{key}", str(value)
