"""Section of the report with the curves of training: reward, update, completions, speed; only those that a run has."""

from collections.abc import Iterator, Mapping
from typing import Any

from rekindle.observability import page
from rekindle.observability.charts import metric_figure
from rekindle.observability.curves import Counted, averaged_note, csv_of, ends, metric_series, ratio_series
from rekindle.observability.formatting import compact
from rekindle.observability.rows import number
from rekindle.observability.summary import Summary
from rekindle.observability.svg import line_chart

__all__ = ["signals"]

_CURVES = {
    "reward/mean": "Mean reward of the rollouts",
    "lr": "Learning rate",
    "kl": "KL to the reference policy, nats per token",
    "clip_fraction": "Clip fraction: share of clipped tokens",
    "entropy": "Entropy, nats per token",
    "completion/length_mean": "Mean length of a completion, tokens",
    "completion/truncated": "Share of truncated completions",
    "completion/rewarded_truncated": "Share of truncated completions that are a success all the same",
    "grad_norm": "Gradient norm",
    "loss": "Loss",
    "moved": "Change of the policy per update, nats per token",
    "policy_gap": "Gap between the log-probabilities of engine and trainer",
    "staleness/mean": "Age of the trained groups, in policy versions",
    "temperature/mean": "Mean temperature",
    "groups/hot": "Groups at a raised temperature",
    "groups/revived": "Groups with signal again at a raised temperature",
    "pool/phase": "Phase of the curriculum",
    "pool/skipped": "Prompts skipped before their rollouts",
}


def signals(summary: Summary) -> str:
    """A curve per metric; those that never changed are named with their value."""
    figures = {key: metric_figure(summary, key, heading) for key, heading in _CURVES.items()}
    drawn = [figure for figure in figures.values() if figure]
    constant = [words for key, figure in figures.items() if not figure for words in _constant(summary, key)]
    drawn += [figure for figure in (_speed(summary),) if figure]
    if not drawn:
        return ""
    note = f"Constant over the run: {', '.join(constant)}." if constant else ""
    return page.section("Training curves", page.paragraph(note, "soft") if note else "", page.grid(*drawn))


def _constant(summary: Summary, key: str) -> Iterator[str]:
    """Name and value of a metric that has one value only, over several steps."""
    line = metric_series(summary, key, key, "teal")
    if line is not None and len(line.y) > 1 and (known := {value for value in line.y if value is not None}):
        yield f"{_CURVES[key].partition(',')[0].partition(':')[0].lower()} {compact(known.pop())}"


def _speed(summary: Summary) -> str:
    """Generated tokens per second: of whole steps, and of their rollouts alone."""
    rows = [row for row in summary.run.metrics if number(row, "generated_tokens") and number(row, "seconds")]
    if len(rows) < 2:
        return ""
    lines = [ratio_series(rows, _per("seconds"), "of a step", "soft")]
    if any(number(row, "time/generate") for row in rows):
        lines.append(ratio_series(rows, _per("time/generate"), "while sampling", "teal"))
    heading = "Generated tokens per second"
    description = "; ".join(f"{line.name} {ends(line.y)}" for line in lines)
    chart = line_chart(lines, title=heading, description=description, x_label="step", height=130)
    legend = {line.name: line.color for line in reversed(lines)}
    return page.figure(heading, chart, averaged_note(rows), legend, data=csv_of(lines, "step"))


def _per(seconds: str) -> Counted:
    def counted(row: Mapping[str, Any]) -> tuple[float, float]:
        return number(row, "generated_tokens") or 0.0, number(row, seconds) or 0.0

    return counted
