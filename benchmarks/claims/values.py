"""Values that are compared: numbers of runs, also at an equal cost and as the cost of an accuracy; and the verdicts.

A key is that of a number (``claims.numbers``), with ``[-1]`` for the last quarter, or

- ``accuracy@AXIS``: mean of the evaluations in the last 15 % of the cost that all runs of the setting reached;
- ``area@AXIS``: mean of the accuracy over that cost;
- ``AXIS@target``: cost until three evaluations in a row reach, on average, the accuracy that the baseline's run of the
  same seed ends with.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from claims.claim import Finding, Value
from claims.numbers import AXES
from rekindle.comparison.curves import Curve, cost_to_reach, late_mean, mean_over
from rekindle.statistics.comparisons import Paired, paired_differences, paired_log_ratios

__all__ = ["HOLDS", "NO_DIFFERENCE", "REVERSED", "UNKNOWN", "Results", "Verdict", "numbers_of", "targets", "verdict"]

Runs = Mapping[str, Mapping[str, Any]]
"""Seed -> numbers of the run."""
Results = Mapping[str, Runs]
"""Arm -> runs, the baseline first."""

HOLDS, REVERSED, NO_DIFFERENCE, UNKNOWN = "holds", "reversed", "no difference seen", "not decided"
LAST_EVALUATIONS = 3
ROUNDING = 1e-6
"""So that a mean of exactly .6 is not rounded down to .599."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a finding came to.

    Attributes:
        word: One of the four words above.
        paired: The differences; of logarithms for a ratio.
        bound: "at least" or "at most" where a target was not reached and what was spent stands for its cost.
        unreached: Number of runs that did not reach the target.
    """

    word: str
    paired: Paired
    bound: str = ""
    unreached: int = 0


def verdict(finding: Finding, results: Results) -> Verdict:
    """The verdict by the rule of ``Finding``; not decided with fewer than two pairs.

    A run that never reaches a target has spent less than the target costs. So where only one of the sides has such
    runs, the ratio is known to be at least, or at most, that of what they spent. The finding is decided where the
    interval of this bound is enough for it.
    """
    ours, theirs = (numbers_of(results, value) for value in (finding.ours, finding.theirs))
    compare = paired_log_ratios if finding.as_ratio else paired_differences
    missing = [list(side.values()).count(None) for side in (ours, theirs)]
    bound = ""
    if finding.as_ratio and any(missing) and not all(missing):
        bound = "at least" if missing[0] else "at most"
        ours, theirs = _spent(results, finding.ours, ours), _spent(results, finding.theirs, theirs)
    found = compare(ours, theirs)
    if found.left_out or not found.t.known:
        return Verdict(UNKNOWN, found)
    word = _word(finding, found)
    if not bound:
        return Verdict(word, found)
    side = "above" if bound == "at least" else "below"
    is_enough = word == (HOLDS if finding.wished == side else REVERSED)
    return Verdict(word if is_enough else UNKNOWN, found, bound, sum(missing))


def _word(finding: Finding, found: Paired) -> str:
    low, high = found.t.low - finding.margin, found.t.high - finding.margin
    if finding.wished == "below":
        low, high = -high, -low
    return HOLDS if low > 0 else REVERSED if high < 0 else NO_DIFFERENCE


def _spent(results: Results, value: Value, found: Mapping[int, float | None]) -> dict[int, float | None]:
    """The costs of a target, and for a run that did not reach it all that it spent."""
    measure, _, axis = value.key.partition("@")
    if axis != "target":
        return dict(found)
    runs = results[value.arm]
    return {seed: _curve(runs[str(seed)], measure).x[-1] if one is None else one for seed, one in found.items()}


def numbers_of(results: Results, value: Value) -> dict[int, float | None]:
    """A value of each seed; None where a run has none. Empty where the arm was not measured."""
    runs = results.get(value.arm, {})
    measure, _, axis = value.key.partition("@")
    if not axis:
        return {int(seed): _number(run, value.key) for seed, run in runs.items()}
    if axis == "target":
        levels = targets(results)
        return {int(seed): cost_to_reach(_curve(run, measure), levels[seed]) for seed, run in runs.items()}
    begin, end = _common(results, axis)
    if measure == "accuracy":
        return {int(seed): late_mean(_curve(run, axis), end) for seed, run in runs.items()}
    assert measure == "area", value.key
    return {int(seed): mean_over(_curve(run, axis), begin, end) for seed, run in runs.items()}


def targets(results: Results) -> dict[str, float]:
    """By seed: the mean of the last three evaluations of the baseline, rounded down to three decimals."""
    baseline = next(iter(results.values()))
    ends = {seed: [point[-1] for point in run["curve"][-LAST_EVALUATIONS:]] for seed, run in baseline.items()}
    return {seed: math.floor(1000 * statistics.fmean(end) + ROUNDING) / 1000 for seed, end in ends.items()}


def _number(run: Mapping[str, Any], key: str) -> float | None:
    """A number of a run; ``name[-1]``: of its last quarter."""
    name, _, place = key.partition("[")
    found = run.get(name)
    if place and isinstance(found, Sequence):
        found = found[int(place.removesuffix("]"))]
    return None if found is None else float(found)


def _curve(run: Mapping[str, Any], axis: str) -> Curve:
    place = list(AXES).index(axis)
    return Curve([point[place] for point in run["curve"]], [point[-1] for point in run["curve"]])


def _common(results: Results, axis: str) -> tuple[float, float]:
    """The costs at which the last of the runs begins and the first of them ends."""
    curves = [_curve(run, axis) for runs in results.values() for run in runs.values()]
    return max(curve.x[0] for curve in curves), min(curve.x[-1] for curve in curves)
