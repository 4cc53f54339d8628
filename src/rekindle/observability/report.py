"""The report of a run: one self-contained HTML file that opens offline and says first what happened, in words."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rekindle.observability import page, sections
from rekindle.observability.formatting import compact, duration, flops, grouped, percent, rate
from rekindle.observability.narrative import accuracy_change, advice, conservation, economy, outcome, title
from rekindle.observability.runs import load_run
from rekindle.observability.self_play.narrative import game_story, reference_change
from rekindle.observability.self_play.numbers import Game
from rekindle.observability.self_play.section import self_play
from rekindle.observability.summary import TAUGHT, Summary

__all__ = ["render_report", "write_report"]


def write_report(directory: str | Path) -> Path:
    """Write ``report.html`` into a run directory, also of a run still going on, and return its path.

    Raises:
        RunError: There is no run, or one of its files is broken.
    """
    path = Path(directory) / "report.html"
    text = render_report(Summary(load_run(directory)))
    # Written beside and renamed, so that whoever reloads the page never gets half of it. What a policy wrote may hold
    # half a surrogate pair, which no file can hold.
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.write_text(text, encoding="utf-8", errors="replace")
    unfinished.replace(path)
    return path


def render_report(summary: Summary) -> str:
    """The page as text."""
    parts = [
        _head(summary),
        sections.accuracy(summary),
        sections.levels(summary),
        self_play(summary),
        sections.composition(summary),
        sections.recycling(summary),
        sections.fates(summary),
        sections.pool(summary),
        sections.search(summary),
        sections.cost(summary),
        sections.signals(summary),
        sections.prompts(summary),
        _settings(summary),
        page.footer("Written by rekindle. Hover a chart for its numbers; the files beside this page hold them all."),
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
            page.paragraph(" ".join(outcome(summary)), "lead"),
            page.paragraph(" ".join(game_story(summary))) if summary.game else "",
            page.paragraph(" ".join(economy(summary))),
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
    if summary.game:
        yield from _game_tiles(summary.game)
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


def _game_tiles(game: Game) -> Iterator[tuple[str, str, str]]:
    if game.valid_share:
        yield "Valid proposals", percent(game.valid_share.value), f"{grouped(game.valid)} of {grouped(game.proposals)}"
    if change := reference_change(game):
        early, late = change
        yield "Solved by the start policy", percent(late.value), f"from {percent(early.value)}"
    if right := game.of_valid("self_play/right"):
        low, high = map(percent, right.interval())
        yield "Right questions", percent(right.value), f"95% interval {low} to {high}"


def _settings(summary: Summary) -> str:
    config = (summary.run.directory / "config.toml").read_text(encoding="utf-8")
    rows = list(_flattened(summary.run.info))
    return page.section(
        "Settings",
        page.details("Configuration, complete (config.toml)", config),
        page.grid(page.table("Made with", ("", ""), rows)) if rows else "",
    )


def _flattened(info: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    for key, value in info.items():
        name = f"{above} {key}".strip()
        if isinstance(value, dict):
            # A package's name says enough by itself; any other table's name is kept.
            yield from _flattened(value, above if key == "packages" else name)
        elif value is not None:
            yield name, " ".join(map(str, value)) if isinstance(value, list) else str(value)
