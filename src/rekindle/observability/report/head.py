"""The first screen of the report: how it went in a sentence or two, the most important curve, and the key numbers."""

from collections.abc import Iterator

from rekindle.observability import page
from rekindle.observability.advice import advice
from rekindle.observability.charts import accuracy_figure, composition_figure, metric_figure
from rekindle.observability.formatting import compact, counted, duration, excerpt, flops, grouped, percent, rate
from rekindle.observability.narrative import (
    AccuracyChange,
    accuracy_change,
    conservation,
    economy,
    headline,
    last_accuracy,
    made_of,
    title,
)
from rekindle.observability.self_play.narrative import reference_change, self_play_story
from rekindle.observability.self_play.numbers import SelfPlayNumbers
from rekindle.observability.summary import TRAINED, Summary

__all__ = ["head"]

_NAME = 120


def head(summary: Summary) -> str:
    """The page's header."""
    suggestion = advice(summary)
    balanced, words = conservation(summary)
    first = [
        page.paragraph(f"Run {_name(summary)}", "over"),
        page.heading(title(summary)),
        page.paragraph(" ".join(headline(summary)), "lead"),
        page.paragraph(suggestion, "advice") if suggestion else "",
        "" if balanced else page.paragraph(words, "alarm"),
    ]
    story = [
        page.paragraph(" ".join(self_play_story(summary))) if summary.self_play else "",
        page.paragraph(" ".join([made_of(summary), *economy(summary)])),
    ]
    return page.opening(
        "\n".join(filter(None, first)), _curve(summary), page.tiles(_tiles(summary)), "\n".join(filter(None, story))
    )


def _curve(summary: Summary) -> str:
    """Accuracy; where it was not measured twice the reward, or the outcomes of the groups."""
    if len(summary.evaluations) > 1:
        return accuracy_figure(summary, "rollouts", "rollouts", "Accuracy on held-out prompts")
    if figure := metric_figure(summary, "reward/mean", "Mean reward of the rollouts", height=210):
        return figure
    return composition_figure(summary) if summary.composition.total() else ""


def _name(summary: Summary) -> str:
    """Name of the run's directory; the files of a run inside another trainer are in a folder of its directory."""
    directory = summary.run.directory.resolve()
    return excerpt(directory.parent.name if summary.other_trainer else directory.name, _NAME)


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
