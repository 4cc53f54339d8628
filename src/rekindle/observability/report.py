"""The report of a run: one self-contained HTML file that opens offline and begins with a summary in words."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rekindle.observability import page, sections
from rekindle.observability.formatting import compact, counted, duration, excerpt, flops, grouped, percent, rate
from rekindle.observability.narrative import (
    AccuracyChange,
    accuracy_change,
    advice,
    conservation,
    economy,
    last_accuracy,
    outcome,
    title,
)
from rekindle.observability.opinions import opinions
from rekindle.observability.runs import load_run
from rekindle.observability.self_play.narrative import reference_change, self_play_story
from rekindle.observability.self_play.numbers import SelfPlayNumbers
from rekindle.observability.self_play.section import self_play
from rekindle.observability.summary import TRAINED, Summary
from rekindle.observability.written import written

__all__ = ["render_report", "write_report"]

WARNINGS_LISTED = 20
WARNING_CHARACTERS = 300


def write_report(directory: str | Path) -> Path:
    """Write ``report.html`` into the directory of a finished or active run, and return its path.

    Raises:
        RunError: There is no run, or one of its files is broken.
    """
    path = Path(directory) / "report.html"
    text = render_report(Summary(load_run(directory)))
    # Written to a temporary file and renamed, so that a reload never shows half a page. A policy's text may contain
    # lone surrogates, which UTF-8 cannot encode.
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.write_text(text, encoding="utf-8", errors="replace")
    unfinished.replace(path)
    return path


def render_report(summary: Summary) -> str:
    """The page as text."""
    texts = written(summary)
    parts = [
        _head(summary),
        sections.accuracy(summary),
        texts,
        sections.levels(summary),
        self_play(summary),
        sections.composition(summary),
        sections.recycling(summary),
        sections.fates(summary),
        sections.pool(summary),
        sections.search(summary),
        sections.cost(summary),
        sections.signals(summary),
        opinions(summary),
        sections.prompts(summary),
        _warnings(summary),
        _settings(summary),
        page.footer("Written by rekindle. Hover over a chart for its numbers; the files next to this page hold all."),
    ]
    return page.document(title(summary), "\n".join(part for part in parts if part), filtered=bool(texts))


def _head(summary: Summary) -> str:
    suggestion = advice(summary)
    balanced, words = conservation(summary)
    return "\n".join(
        [
            "<header>",
            page.paragraph(f"Run {_name(summary)}", "over"),
            page.heading(title(summary)),
            page.paragraph(" ".join(outcome(summary)), "lead"),
            page.paragraph(" ".join(self_play_story(summary))) if summary.self_play else "",
            page.paragraph(" ".join(economy(summary))),
            page.paragraph(suggestion, "advice") if suggestion else "",
            "" if balanced else page.paragraph(words, "alarm"),
            page.tiles(_tiles(summary)),
            "</header>",
        ]
    )


def _name(summary: Summary) -> str:
    """Name of the run's directory; the files of a run inside another trainer are in a folder of its directory."""
    directory = summary.run.directory.resolve()
    return directory.parent.name if summary.other_trainer else directory.name


def _tiles(summary: Summary) -> Iterator[tuple[str, str, str]]:
    for kind, name in (("accuracy", "Held-out accuracy"), ("greedy", "Greedy accuracy")):
        if change := accuracy_change(summary, kind):
            yield name, rate(last_accuracy(summary, kind) or 0.0), _since_the_start(change)
    if summary.self_play:
        yield from _self_play_tiles(summary.self_play)
    groups = summary.composition
    if groups.total():
        yield "Trained groups", percent(groups.share(*TRAINED)), f"{grouped(groups.total(*TRAINED))} of them"
        if summary.recycles:
            recycled = groups.total("rescued_hard", "rescued_easy")
            yield "Recycled, of these", percent(summary.recycled_share), f"{grouped(recycled)} groups, whole run"
    rollouts, seconds = summary.total("rollouts"), summary.total("seconds")
    yield "Updates", grouped(summary.updates), f"in {counted(summary.step, 'step')}"
    yield "Rollouts", compact(rollouts), f"{grouped(rollouts / seconds)} a second" if seconds else ""
    yield "Generated tokens", compact(summary.total("generated_tokens")), ""
    yield "Compute", flops(summary.total("flops")), f"in {duration(seconds)}" if seconds else ""


def _since_the_start(change: AccuracyChange) -> str:
    """Remark on an accuracy: where it began, and the mean of the last evaluations, which the text tells."""
    if change.end is None:
        return f"at step {grouped(change.first)}" if change.first else "at the start"
    mean = f"; mean of the last {change.averaged}: {rate(change.end)}" if change.averaged > 1 else ""
    return f"from {rate(change.start)}{mean}"


def _self_play_tiles(numbers: SelfPlayNumbers) -> Iterator[tuple[str, str, str]]:
    if numbers.valid_share:
        yield (
            "Valid proposals",
            percent(numbers.valid_share.value),
            f"{grouped(numbers.valid)} of {grouped(numbers.proposals)}",
        )
    if change := reference_change(numbers):
        early, late = change
        yield "Solved by the start policy", percent(late.value), f"from {percent(early.value)}"
    if right := numbers.of_valid("self_play/right"):
        low, high = map(percent, right.interval())
        yield "Right questions", percent(right.value), f"95% interval {low} to {high}"


def _warnings(summary: Summary) -> str:
    """Warnings of the run: the most frequent texts, and the number of the others."""
    found = sorted(summary.run.warnings(), key=lambda one: -one.count)
    if not found:
        return ""
    columns = ("warning", "by", "times", "first step", "last step")
    rows = [
        (excerpt(one.text, WARNING_CHARACTERS), one.source, *map(grouped, (one.count, one.first_step, one.last_step)))
        for one in found[:WARNINGS_LISTED]
    ]
    left = len(found) - len(rows)
    note = f"{grouped(left)} others are in warnings.jsonl." if left else ""
    return page.section("Warnings", page.table("Most frequent first", columns, rows, note))


def _settings(summary: Summary) -> str:
    config = (summary.run.directory / "config.toml").read_text(encoding="utf-8")
    rows = list(_flattened({key: value for key, value in summary.run.info.items() if key != "names"}))
    return page.section(
        "Settings",
        page.details("Configuration, complete (config.toml)", config),
        page.grid(page.table("Made with", ("", ""), rows)) if rows else "",
    )


def _flattened(info: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    for key, value in info.items():
        name = f"{above} {key}".strip()
        if isinstance(value, dict):
            # Package names are clear without their table's name; other tables keep theirs.
            yield from _flattened(value, above if key == "packages" else name)
        elif value not in (None, "", []):
            yield name, " ".join(map(str, value)) if isinstance(value, list) else str(value)
