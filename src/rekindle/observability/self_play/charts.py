"""Figures of the report's self-play section; a figure without data is an empty text."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rekindle.observability import page
from rekindle.observability.curves import (
    PARTS,
    Counted,
    averaged_note,
    csv_of,
    ends,
    level_colors,
    metric_series,
    ratio_series,
)
from rekindle.observability.formatting import compact, grouped, percent
from rekindle.observability.rows import buckets, number
from rekindle.observability.self_play.narrative import right_words
from rekindle.observability.self_play.numbers import SelfPlayNumbers, valid_rate, wished_rates
from rekindle.observability.self_play.rejections import UNVERIFIED, rejection
from rekindle.observability.summary import Summary
from rekindle.observability.svg import Bar, Series, horizontal_bars, line_chart
from rekindle.types import Fate

__all__ = [
    "difficulty_figure",
    "hops_figure",
    "novelty_figure",
    "proposal_fates_figure",
    "replay_figure",
    "right_figure",
    "valid_figure",
    "verdicts_figure",
    "wished_figure",
]

_FATES = {
    Fate.TRAINED: ("in an update", "fresh"),
    Fate.RETIRED: ("without a gradient", "always_solved"),
    Fate.EXCESS: ("question not played yet", "not_needed"),
    Fate.FAILED: ("a part of the run failed", "lost"),
}
"""Meaning of the ledger's fates for a proposal; other fates do not occur."""


def valid_figure(numbers: SelfPlayNumbers) -> str:
    """Share of valid proposals over the steps."""
    line = ratio_series(
        numbers.rows,
        lambda row: (number(row, "self_play/valid") or 0.0, number(row, "self_play/proposals") or 0.0),
        "valid",
        "ember",
    )
    return _figure("Valid proposals", [line], averaged_note(numbers.rows), shares=True)


def wished_figure(numbers: SelfPlayNumbers) -> str:
    """Share of valid proposals by requested hops; empty unless at least two numbers of hops were requested."""
    rates = [wished_rates(row) for row in numbers.rows]
    colors = level_colors(rates)
    if len(colors) < 2:
        return ""

    def rate(hops: int) -> Counted:
        key = f"self_play/wished_{hops}/valid_rate"
        return lambda row: (0.0, 0.0) if (value := number(row, key)) is None else (value, 1.0)

    lines = [ratio_series(numbers.rows, rate(hops), f"{hops} requested", color) for hops, color in colors.items()]
    return _figure("Valid proposals by requested hops", lines, averaged_note(numbers.rows), shares=True)


def difficulty_figure(numbers: SelfPlayNumbers) -> str:
    """Success of the solver, and of the start policy, on the questions of each step."""
    keys = {"reference": ("start policy", "teal"), "solver": ("solver", "ember")}
    lines = [
        ratio_series(numbers.rows, _of_valid(f"self_play/{key}_success"), name, color)
        for key, (name, color) in keys.items()
    ]
    note = (
        "Success on the new questions of each step. The start policy is never trained, so falling success of the start "
        "policy means harder questions. "
    )
    return _figure("Difficulty of new questions", lines, note + averaged_note(numbers.rows), shares=True)


def hops_figure(numbers: SelfPlayNumbers) -> str:
    """Requested hops, and the proposer's searches for valid questions."""

    def requested(row: Mapping[str, Any]) -> tuple[float, float]:
        value, count = number(row, "self_play/wished_hops"), number(row, "self_play/proposals") or 0.0
        return (0.0, 0.0) if value is None else (value * count, count)

    lines = [
        ratio_series(numbers.rows, requested, "hops requested", "soft"),
        ratio_series(numbers.rows, _of_valid("self_play/searches"), "searches of valid questions", "ember"),
    ]
    return _figure("Requested hops and searches", lines, averaged_note(numbers.rows))


def novelty_figure(numbers: SelfPlayNumbers) -> str:
    """Dissimilarity of accepted questions to those accepted before."""
    line = ratio_series(numbers.rows, _of_valid("self_play/novelty"), "novelty", "teal")
    note = "1 - similarity of a valid question to the most similar one accepted before. "
    return _figure("Novelty", [line], note + averaged_note(numbers.rows), shares=True)


def right_figure(numbers: SelfPlayNumbers) -> str:
    """Share of accepted questions whose only answer is the seed's; empty where this is not known."""
    whole = numbers.of_valid("self_play/right")
    if whole is None:
        return ""
    places = buckets(len(numbers.rows), PARTS)
    parts = [
        (rows[-1]["step"], SelfPlayNumbers(rows).of_valid("self_play/right"))
        for rows in (numbers.rows[place] for place in places)
    ]
    known = [(float(step), share) for step, share in parts if share is not None]
    low, high = ([share.interval()[side] for _, share in known] for side in (0, 1))
    line = Series("right", [step for step, _ in known], [share.value for _, share in known], "ember", band=(low, high))
    note = f"Accepted questions whose only answer is the seed's: {right_words(whole)} in the whole run."
    return _figure(
        "Right questions", [line], f"{note} The band is a 95% interval. {averaged_note(numbers.rows)}", shares=True
    )


def replay_figure(summary: Summary) -> str:
    """New and replayed questions of every step; empty without replayed ones."""
    keys = {
        "pool/fresh": ("new, not played yet", "soft"),
        "self_play/valid": ("new", "teal"),
        "pool/replayed": ("replayed", "ember"),
    }
    lines = [line for key, (name, color) in keys.items() if (line := metric_series(summary, key, name, color))]
    replayed = [line for line in lines if line.name == "replayed" and any(line.y)]
    return _figure("New and replayed questions of a step", lines) if replayed else ""


def verdicts_figure(numbers: SelfPlayNumbers) -> str:
    """Verdicts on all proposals: valid, rejected by reason, and failed."""
    bars = [_bar("valid", numbers.valid, numbers.proposals, "fresh")]
    for reason, count in numbers.rejected.items():
        color = "lost" if reason == UNVERIFIED else "never_solved"
        bars.append(_bar(rejection(reason).name, count, numbers.proposals, color))
    if numbers.failed:
        bars.append(_bar("failed", numbers.failed, numbers.proposals, "lost"))
    return _bars("Verdicts on all proposals", bars, numbers.proposals)


def proposal_fates_figure(summary: Summary) -> str:
    """Fates of the proposer's rollouts."""
    fates = summary.role_fates("proposer")
    total = sum(count.rollouts for count in fates.values())
    bars = [
        _bar(f"{fate}: {meaning}", fates[fate].rollouts, total, color)
        for fate, (meaning, color) in _FATES.items()
        if fates[fate].rollouts
    ]
    return _bars("Fate of all proposals", bars, total) if bars else ""


def _of_valid(key: str) -> Counted:
    return lambda row: valid_rate(row, key)


def _figure(name: str, lines: Sequence[Series], note: str = "", *, shares: bool = False) -> str:
    """Lines over the steps, without those that were not measured; ``shares`` are between 0 and 1."""
    known = [line for line in lines if any(value is not None for value in line.y)]
    if not known:
        return ""
    form: Callable[[float], str] = percent if shares else compact
    chart = line_chart(
        known,
        title=name,
        description="; ".join(f"{line.name} {ends(line.y, form)}" for line in known),
        x_label="step",
        y_limits=(0.0, 1.0) if shares else None,
        y_format=form,
    )
    legend = {line.name: line.color for line in known} if len(known) > 1 else None
    return page.figure(name, chart, note.strip(), legend, data=csv_of(known, "step"))


def _bar(name: str, count: int, whole: int, color: str) -> Bar:
    return Bar(name, count, f"{grouped(count)} · {percent(count, whole)}", color)


def _bars(name: str, bars: Sequence[Bar], whole: int) -> str:
    description = ", ".join(f"{bar.name} {bar.text}" for bar in bars)
    return page.figure(name, horizontal_bars(bars, whole=max(1, whole), title=name, description=description))
