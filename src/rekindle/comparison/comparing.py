"""From directories to a comparison: what was found, against which baseline, at which costs."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from rekindle.choices import few
from rekindle.comparison.arms import Arm, baseline_of, grouped_arms
from rekindle.comparison.axes import AXES
from rekindle.comparison.directories import find_runs
from rekindle.comparison.measures import (
    Measure,
    area_under,
    at_equal_cost,
    common_cost,
    cost_of_target,
    default_target,
)
from rekindle.comparison.runs import ComparedRun, has_values, read_run
from rekindle.observability.formatting import excerpt
from rekindle.types import UserError

__all__ = ["ACCURACY", "GREEDY", "Comparison", "compare", "compared"]

ACCURACY = "eval/accuracy"
"""Key of the sampled accuracy."""
GREEDY = "eval/greedy"
"""Key of the greedy accuracy."""
MEASURES = (ACCURACY, GREEDY)
"""What is compared where nothing is chosen: the first that every evaluated run has."""
_TASK = 120
_FURTHER_SHOWN = 12
"""Most further measures of evaluations."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Arms compared with a baseline.

    Attributes:
        arms: The baseline first.
        metric: Key of the step log that is compared.
        axis: Main cost.
        axes: All costs that every run knows, the main one first.
        limits: Axis -> the run whose last evaluation is the earliest, where there are evaluations.
        equal: Axis -> the metric at equal cost; empty without evaluations.
        areas: Axis -> mean of the metric over the whole cost.
        target: Accuracy whose cost is compared; None where there is none.
        costs: Axis -> cost of the target; empty where no target is above the start.
        further: Other measures of the evaluations at equal main cost, by key.
        replaced: The measure that would have been compared, had every run it; "" where it is ``metric``.
        repeated: Directories given more than once.
        doubled: Runs that were left out, each after the one with the same settings and seed.
        empty: Runs without a step, which were left out.
    """

    arms: Sequence[Arm]
    metric: str
    axis: str
    axes: Sequence[str]
    limits: Mapping[str, ComparedRun]
    equal: Mapping[str, Measure]
    areas: Mapping[str, Measure]
    target: float | None
    costs: Mapping[str, Measure]
    further: Mapping[str, Measure]
    replaced: str = ""
    repeated: Sequence[Path] = ()
    doubled: Sequence[tuple[ComparedRun, ComparedRun]] = ()
    empty: Sequence[ComparedRun] = ()

    @property
    def baseline(self) -> Arm:
        """The arm that the others are compared with."""
        return self.arms[0]

    @property
    def runs(self) -> list[ComparedRun]:
        """Runs of all arms."""
        return [run for arm in self.arms for run in arm.runs.values()]

    @property
    def text(self) -> str:
        """What was seen, notes, and the main table, for a terminal."""
        from rekindle.comparison.text import terminal_text

        return terminal_text(self)

    def write(self, *paths: str | Path) -> None:
        """Write files, whose endings say the format: .html, .md, .csv, .tex, .svg or .pdf.

        Raises:
            UserError: An ending is unknown, or a file cannot be written.
        """
        from rekindle.comparison.writing import check_files, write_files

        files = [Path(path) for path in paths]
        check_files(files)
        write_files(self, files)

    @property
    def comparisons(self) -> int:
        """Number of intervals of differences and ratios."""
        tables = (self.equal, self.areas, self.costs, self.further)
        return sum(measure.comparisons for table in tables for measure in table.values())


def compare(
    directories: Sequence[Path],
    *,
    baseline: str | None = None,
    target: float | None = None,
    metric: str | None = None,
    axis: str = "rollouts",
) -> Comparison:
    """Compare the runs in and below directories.

    Args:
        directories: Run directories, or directories of them.
        baseline: Name or recipe of the arm to compare with; None: GRPO, or the first.
        target: Accuracy whose cost is compared; None: what every seed of the baseline ends with at least.
        metric: Key of the step log to compare; None: ``eval/accuracy``, or ``eval/greedy`` where not every run has it.
        axis: Main cost, a key of ``AXES``.

    Raises:
        UserError: There is nothing to compare, or the runs have different tasks.
        RunError: A file of a run is broken.
    """
    if not directories:
        raise UserError("no runs were given; give directories of runs, or of a sweep")
    _check_options(axis, target)
    found = find_runs(directories)
    runs = [read_run(directory, metric or ACCURACY) for directory in found.runs]
    return compared(runs, baseline=baseline, target=target, metric=metric, axis=axis, repeated=found.repeated)


def _check_options(axis: str, target: float | None) -> None:
    if axis not in AXES:
        raise UserError(f"--x {axis} is no cost; choose one of {', '.join(AXES)}")
    if target is not None and not math.isfinite(target):
        raise UserError(f"--target {target} is no accuracy; give a number, e.g. 0.7")


def compared(
    runs: Sequence[ComparedRun],
    *,
    baseline: str | None = None,
    target: float | None = None,
    metric: str | None = None,
    axis: str = "rollouts",
    repeated: Sequence[Path] = (),
) -> Comparison:
    """Compare runs; see ``compare``."""
    made = [run for run in runs if run.step]
    if not made:
        raise UserError(f"no run has a step yet ({few(run.directory for run in runs)}); compare runs that have begun")
    _check_tasks(made)
    if metric is not None:
        _check_metric(made, metric)
    chosen, metric = metric, metric or _common_measure(made)
    arms, doubled = grouped_arms(made)
    base = baseline_of(arms, baseline)
    arms = [base, *(arm for arm in arms if arm is not base)]
    axes = _known_axes(made, axis)
    common = {name: cost for name in axes if (cost := common_cost(arms, metric, name))}
    goal = default_target(base, metric, axis) if target is None else target
    at = common[axis][0] if axis in common else 0.0
    return Comparison(
        arms=arms,
        metric=metric,
        axis=axis,
        axes=axes,
        limits={name: run for name, (_, run) in common.items()},
        equal={name: at_equal_cost(arms, base, metric, name, cost) for name, (cost, _) in common.items()},
        areas={name: area_under(arms, base, metric, name, cost) for name, (cost, _) in common.items()},
        target=goal,
        costs={name: cost_of_target(arms, base, metric, name, goal) for name in common}
        if goal is not None and goal > _start(arms, metric, axis)
        else {},
        further={key: at_equal_cost(arms, base, key, axis, at) for key in _further(made, metric)} if common else {},
        replaced="" if chosen is not None or metric == ACCURACY else ACCURACY,
        repeated=repeated,
        doubled=doubled,
        empty=[run for run in runs if not run.step],
    )


def _check_metric(runs: Sequence[ComparedRun], metric: str) -> None:
    """Refuse a chosen metric that no run has.

    Raises:
        UserError: None has it.
    """
    if any(has_values(run, metric) for run in runs):
        return
    known = dict.fromkeys(key for run in runs for key in run.curves if has_values(run, key))
    raise UserError(
        f"--metric {excerpt(metric, _TASK)}: no run has it in its metrics.jsonl; choose another key, such as "
        f"{few(known) if known else 'reward/mean'}"
    )


def _common_measure(runs: Sequence[ComparedRun]) -> str:
    """The first usual measure that every evaluated run has."""
    evaluated = [run for run in runs if any(has_values(run, key) for key in MEASURES)]
    common = (key for key in MEASURES if evaluated and all(has_values(run, key) for run in evaluated))
    return next(common, ACCURACY)


def _known_axes(runs: Sequence[ComparedRun], axis: str) -> list[str]:
    """Costs that every run has, the main one first."""
    missing = [run for run in runs if axis not in run.spent]
    if missing:
        raise UserError(
            f"--x {axis}: {missing[0].directory} does not record it; choose another of {', '.join(AXES)}, or leave the "
            "run out"
        )
    return [axis, *(name for name in AXES if name != axis and all(name in run.spent for run in runs))]


def _start(arms: Sequence[Arm], metric: str, axis: str) -> float:
    """The highest accuracy that a run begins with."""
    curves = [run.curves.get(metric, {}).get(axis) for arm in arms for run in arm.runs.values()]
    return max((curve.y[0] for curve in curves if curve is not None and curve.y), default=float("-inf"))


def _further(runs: Sequence[ComparedRun], metric: str) -> list[str]:
    """Other measures that every evaluated run has."""
    evaluated = [run.curves for run in runs if has_values(run, metric)]
    if not evaluated:
        return []
    common = set.intersection(*(set(curves) for curves in evaluated))
    return [key for key in evaluated[0] if key in common and key != metric][:_FURTHER_SHOWN]


def _check_tasks(runs: Sequence[ComparedRun]) -> None:
    """Refuse runs that were evaluated on different prompts.

    Raises:
        UserError: They were.
    """
    for one, other in combinations(runs, 2):
        if one.tasks.differ(other.tasks):
            tasks = " and ".join(f"{run.directory} ({_task(run)})" for run in (one, other))
            what = "held-out prompts" if one.tasks.held_out and other.tasks.held_out else "prompts"
            raise UserError(
                f"{tasks} have different {what}, so their accuracies cannot be compared; give runs of one task with "
                "the same eval.prompts"
            )


def _task(run: ComparedRun) -> str:
    """``spell_backward, 256 held-out prompts``; with the name or the file of a task where its source has several."""
    named = [str(value) for key in ("task.source", "task.name", "task.path") if (value := run.settings.get(key))]
    return excerpt(", ".join([*named, f"{run.prompts or 0:.0f} held-out prompts"]), _TASK)
