"""The comparison in sentences: what was seen, and how sure it is."""

import math
import statistics
from collections.abc import Iterator, Sequence

from rekindle.comparison.axes import AXES
from rekindle.comparison.comparing import Comparison
from rekindle.comparison.curves import late_points
from rekindle.comparison.measures import Measure, Row
from rekindle.comparison.words import capital, finding, limits, listed, metric_name, plus_minus
from rekindle.observability.formatting import counted, percent
from rekindle.statistics.words import NO_DIFFERENCE

__all__ = ["claims", "evaluation_noise", "title"]


def title(comparison: Comparison) -> str:
    """``"recycle and erpo against grpo"``."""
    others = [arm.name for arm in comparison.arms[1:]]
    if not others:
        return comparison.baseline.name
    return f"{listed(others)} against {comparison.baseline.name}"


def claims(comparison: Comparison) -> list[str]:
    """What was seen at equal main cost: the differences, then the arms without one."""
    measure = comparison.equal.get(comparison.axis)
    if measure is None or len(measure.rows) < 2:
        return []
    by_finding: dict[str, list[Row]] = {}
    for row in measure.rows[1:]:
        by_finding.setdefault(finding(row, measure), []).append(row)
    sides = [text for text in by_finding if not text.startswith(NO_DIFFERENCE)]
    ordered = [*sides, *(text for text in by_finding if text not in sides)]
    axis, name = AXES[comparison.axis], metric_name(comparison.metric)
    start = f"At {axis.amount(measure.at)}, "
    sentences = [_sentence(text, by_finding[text], comparison, name) for text in ordered]
    return [start + sentences[0], *map(capital, sentences[1:])]


def _sentence(text: str, rows: Sequence[Row], comparison: Comparison, name: str) -> str:
    base, names = comparison.baseline.name, listed([row.arm for row in rows])
    if text in {"higher", "lower"}:
        arms = listed([_with_limits(row) for row in rows])
        return f"the {name} of {arms} is {text} than that of {base} (95 %, {_pairs(rows)})."
    if text == NO_DIFFERENCE:
        return f"{NO_DIFFERENCE} in {name} for {names} against {base} ({_needed(rows)})."
    if text.startswith(NO_DIFFERENCE):
        arms = listed([_with_limits(row) for row in rows])
        return f"{NO_DIFFERENCE} in {name} for {arms} against {base} once it is corrected for the number of arms."
    return f"{names} against {base}: {text}."


def _with_limits(row: Row) -> str:
    """``"recycle (+0.034, interval +0.010 to +0.058)"``."""
    assert row.paired is not None, "a row with a side was compared"
    return f"{row.arm} ({plus_minus(row.paired.mean)}, interval {limits(row.paired.t, plus_minus)})"


def _pairs(rows: Sequence[Row]) -> str:
    """``"3 seeds"``, ``"3 or 5 seeds"``."""
    counts = sorted({row.paired.count for row in rows if row.paired})
    return f"{' or '.join(map(str, counts))} {'seed' if counts == [1] else 'seeds'}"


def _needed(rows: Sequence[Row]) -> str:
    """How large a difference would have had to be, as the absence of evidence is no evidence of absence."""
    halves = [(row.paired.t.high - row.paired.t.low) / 2 for row in rows if row.paired]
    return f"{_pairs(rows)}; with their variation only one of about {max(halves):.3f} would have been seen"


def evaluation_noise(comparison: Comparison) -> str:
    """How much of the variation between seeds the sampling of an evaluation may explain; "" where it is not known."""
    measure = comparison.equal.get(comparison.axis)
    if measure is None or not comparison.metric.startswith("eval/accuracy"):
        return ""
    shares = list(_binomial(comparison, measure))
    variances = [statistics.variance(row.known) for row in measure.rows if len(row.known) > 1]
    if not shares or not variances:
        return ""
    single, averaged, points = shares[0]
    share = averaged / statistics.fmean(variances) if statistics.fmean(variances) else math.inf
    words = "all" if share >= 1 else f"at most {percent(share)}"
    rest = "" if share >= 1 else " The rest is of the training."
    return (
        f"A single evaluation has a binomial standard deviation of at most {math.sqrt(single):.3f}, and the accuracies "
        f"here are means of about {counted(points, 'evaluation')}. That noise may explain {words} of the variance "
        f"between seeds.{rest} Higher eval.prompts and eval.samples lower it."
    )


def _binomial(comparison: Comparison, measure: Measure) -> Iterator[tuple[float, float, int]]:
    """Binomial variance of one evaluation, of the mean of a run's late ones, and their number; for the first arm."""
    run = comparison.baseline.first
    samples, curve = run.samples or 1.0, run.curves[comparison.metric].get(comparison.axis)
    known = measure.rows[0].known
    if run.prompts and curve is not None and curve.x and known:
        rate = min(1.0, max(0.0, statistics.fmean(known)))
        single, points = rate * (1 - rate) / (run.prompts * samples), late_points(curve, measure.at)
        yield single, single / points, points
