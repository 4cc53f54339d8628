"""Section of the report with rewards by name and second opinions: curves, and a sentence for each audit."""

from collections.abc import Iterator, Sequence

from rekindle.observability import page
from rekindle.observability.curves import csv_of, ends, metric_series
from rekindle.observability.formatting import percent, rate
from rekindle.observability.rows import number
from rekindle.observability.summary import Summary
from rekindle.observability.svg import Series, line_chart

__all__ = ["opinions"]

_COLORS = ("teal", "rescued_easy", "soft", "returned")
"""Colours of the first audits or rewards; others are not drawn. The reward itself has another."""
_QUARTER = 4


def opinions(summary: Summary) -> str:
    """Mean of each reward function, and each audit beside the reward; empty where there are neither."""
    audits, rewards = _names(summary, "audit/"), _names(summary, "reward/")
    figures = []
    if audits:
        figures.append(_figure(summary, "Reward and audits", "reward/mean", "audit/", audits))
        figures.append(_figure(summary, "The same on held-out prompts", "eval/accuracy", "eval/audit/", audits))
    if rewards:
        figures.append(_figure(summary, "Rewards by name, before weights", "reward/mean", "reward/", rewards))
    sentences = [sentence for name in audits for sentence in _sentence(summary, name)]
    cut = [share for row in summary.run.metrics if (share := number(row, "completion/rewarded_truncated")) is not None]
    if any(cut):
        sentences.append(f"Of the rollouts {percent(sum(cut) / len(cut))} were truncated and a success all the same.")
    if not any(figures):
        return ""
    return page.section(
        "Second opinions" if audits else "Rewards", *_said(sentences), page.grid(*filter(None, figures))
    )


def _said(sentences: Sequence[str]) -> Iterator[str]:
    if sentences:
        yield page.paragraph(" ".join(sentences))


def _names(summary: Summary, prefix: str) -> list[str]:
    """Names of the metrics under a prefix, without the mean of all."""
    found = {key.removeprefix(prefix) for row in summary.run.metrics for key in row if key.startswith(prefix)}
    return sorted(found - {"mean"})


def _figure(summary: Summary, heading: str, whole: str, prefix: str, names: Sequence[str]) -> str:
    """Curves of the metrics ``prefix + name`` beside the metric ``whole``."""
    lines = [
        metric_series(summary, f"{prefix}{name}", name, color) for name, color in zip(names, _COLORS, strict=False)
    ]
    beside = metric_series(summary, whole, "reward" if whole == "reward/mean" else "accuracy", "ember")
    drawn: list[Series] = [line for line in (*lines, beside) if line is not None]
    if len(drawn) < 2:
        return ""
    description = "; ".join(f"{line.name} {ends(line.y, rate)}" for line in drawn)
    chart = line_chart(drawn, title=heading, description=description, x_label="step", y_format=rate)
    legend = {line.name: line.color for line in reversed(drawn)}
    return page.figure(heading, chart, legend=legend, data=csv_of(drawn, "step"))


def _sentence(summary: Summary, name: str) -> Iterator[str]:
    """What reward and audit said in the first and in the last quarter of the steps."""
    rows = [row for row in summary.run.metrics if number(row, f"audit/{name}") is not None]
    quarter = max(1, len(rows) // _QUARTER)
    parts = [rows[:quarter], rows[-quarter:]] if len(rows) > 1 else [rows]
    means = [
        [sum(number(row, key) or 0.0 for row in part) / len(part) for key in ("reward/mean", f"audit/{name}")]
        for part in parts
        if part
    ]
    if not means:
        return
    reward, audit = means[-1]
    text = (
        f"The reward says {rate(reward)} at the end, and the audit {name}, which is not trained on, says {rate(audit)}"
    )
    if len(means) > 1:
        text += f" (at the start {rate(means[0][0])} and {rate(means[0][1])})"
    yield text + "."
