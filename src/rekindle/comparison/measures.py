"""Measures: a number per run, compared between each arm and the baseline over their common seeds."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rekindle.comparison.arms import Arm
from rekindle.comparison.curves import Curve, cost_to_reach, late_mean, mean_over
from rekindle.comparison.runs import ComparedRun
from rekindle.statistics.comparisons import Paired, holm, paired_differences, paired_log_ratios

__all__ = ["Measure", "Row", "area_under", "at_equal_cost", "common_cost", "cost_of_target", "default_target"]


@dataclass(frozen=True, slots=True)
class Row:
    """One arm in a measure.

    Attributes:
        arm: Its name.
        values: By seed; None where the run has no value.
        paired: Against the baseline; None for the baseline itself, and where nothing can be compared.
        adjusted: p-value, adjusted by Holm's rule for all arms of the measure; nan without one.
    """

    arm: str
    values: Mapping[int, float | None]
    paired: Paired | None
    adjusted: float

    @property
    def known(self) -> list[float]:
        """The values that there are."""
        return [value for value in self.values.values() if value is not None]

    @property
    def is_censored(self) -> bool:
        """Whether some runs have no value."""
        return len(self.known) < len(self.values)


@dataclass(frozen=True, slots=True)
class Measure:
    """A comparison of all arms by one number.

    Attributes:
        key: Key of the step log.
        axis: Cost by which it is measured.
        at: The equal cost, or the target of the costs.
        rows: In the order of the arms.
    """

    key: str
    axis: str
    at: float
    rows: Sequence[Row]

    @property
    def comparisons(self) -> int:
        """Number of intervals."""
        return sum(row.paired is not None and row.paired.t.known for row in self.rows)


Compare = Callable[[Mapping[int, float | None], Mapping[int, float | None]], Paired]


def common_cost(arms: Sequence[Arm], key: str, axis: str) -> tuple[float, ComparedRun] | None:
    """The largest cost at which every run has been evaluated, and the run that limits it.

    Runs without any evaluation are not counted; None where a run with some does not know its cost, or all have none.
    """
    ends = [
        (curve.end, run)
        for arm in arms
        for run in arm.runs.values()
        for curve in [run.curves.get(key, {}).get(axis)]
        if curve is not None and curve.end is not None
    ]
    evaluated = [
        run for arm in arms for run in arm.runs.values() if any(one.x for one in run.curves.get(key, {}).values())
    ]
    if not ends or len(ends) < len(evaluated):
        return None
    return min(ends, key=lambda pair: pair[0])


def at_equal_cost(arms: Sequence[Arm], baseline: Arm, key: str, axis: str, at: float) -> Measure:
    """The measure of every run when ``at`` was spent."""
    return _measured(arms, baseline, key, axis, at, lambda curve: late_mean(curve, at), paired_differences)


def area_under(arms: Sequence[Arm], baseline: Arm, key: str, axis: str, at: float) -> Measure:
    """Mean of the measure over the whole cost up to ``at``, from where the last of the curves begins."""
    begin = max((curve.x[0] for arm in arms for curve in _curves(arm, key, axis).values() if curve.x), default=0.0)
    return _measured(arms, baseline, key, axis, at, lambda curve: mean_over(curve, begin, at), paired_differences)


def cost_of_target(arms: Sequence[Arm], baseline: Arm, key: str, axis: str, target: float) -> Measure:
    """What every run spent until it reached the target, compared by ratios.

    Nothing is compared where a common seed of the arm or of the baseline did not reach it: the cost of those that did
    is biased.
    """
    return _measured(
        arms, baseline, key, axis, target, lambda curve: cost_to_reach(curve, target), paired_log_ratios, censored=True
    )


def default_target(baseline: Arm, key: str, axis: str) -> float | None:
    """The accuracy that each seed of the baseline ends with, at least: the lowest mean of its last three evaluations.

    It is rounded down to three decimals. None where the baseline has no evaluation.
    """
    ends = [sum(curve.y[-3:]) / len(curve.y[-3:]) for curve in _curves(baseline, key, axis).values() if curve.y]
    return int(min(ends) * 1000) / 1000 if ends else None


def _curves(arm: Arm, key: str, axis: str) -> dict[int, Curve]:
    return {seed: run.curves.get(key, {}).get(axis, Curve([], [])) for seed, run in arm.runs.items()}


def _measured(
    arms: Sequence[Arm],
    baseline: Arm,
    key: str,
    axis: str,
    at: float,
    value: Callable[[Curve], float | None],
    compare: Compare,
    *,
    censored: bool = False,
) -> Measure:
    values = {arm.name: {seed: value(curve) for seed, curve in _curves(arm, key, axis).items()} for arm in arms}
    base = values[baseline.name]

    def compared(name: str) -> Paired | None:
        ours = values[name]
        common = ours.keys() & base.keys()
        if name == baseline.name or (censored and any(ours[seed] is None or base[seed] is None for seed in common)):
            return None
        return compare(ours, base)

    pairs = {arm.name: compared(arm.name) for arm in arms}
    adjusted = holm([pair.p if pair else float("nan") for pair in pairs.values()])
    rows = [Row(name, values[name], pair, p) for (name, pair), p in zip(pairs.items(), adjusted, strict=True)]
    return Measure(key, axis, at, rows)
