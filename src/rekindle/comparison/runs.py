"""A run as it is compared: its settings, and its evaluations with what was spent before each."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rekindle.comparison.axes import AXES
from rekindle.comparison.curves import Curve
from rekindle.comparison.settings import MEASURING, SEED, Settings
from rekindle.comparison.task_lists import RunTasks, read_tasks
from rekindle.config import flat_settings
from rekindle.observability.rows import number
from rekindle.observability.runs import Run, RunError, load_run

__all__ = ["ComparedRun", "has_values", "read_run"]

TEMPERATURE = "the temperature of sampled evaluations"

_EVALUATED = ("eval/", "level_")
_FURTHER = {"eval/failed"}


@dataclass(frozen=True, slots=True)
class ComparedRun:
    """What a comparison needs of a run.

    Attributes:
        directory: As it was given.
        seed: ``train.seed``.
        settings: All settings by dotted key.
        info: ``run.json``.
        step: Number of the last step; 0 before the first.
        ending: ``"done"``, ``"bound"`` or ``"interrupted"``; "" while it goes on, or where it was killed.
        spent: Cost of the whole run by axis, where it is known.
        curves: Measure -> axis -> curve, for every measure of its evaluations.
        tasks: Its held-out prompts and its pool, as far as it lists them.
    """

    directory: Path
    seed: int
    settings: Settings
    info: Mapping[str, Any]
    step: int
    ending: str
    spent: Mapping[str, float]
    curves: Mapping[str, Mapping[str, Curve]]
    tasks: RunTasks

    @property
    def recipe(self) -> str:
        """Name of its recipe."""
        return str(self.settings.get("recipe", "unnamed recipe"))

    @property
    def trainer(self) -> str:
        """Library whose trainer made it; "" where it is ours."""
        return str(self.info.get("trainer") or "").partition(" ")[0]

    @property
    def version(self) -> str:
        """Version of rekindle that wrote it."""
        return str(self.info.get("rekindle", "unknown"))

    @property
    def finished(self) -> bool:
        """Whether it came to its end, or to a bound that it declares."""
        return self.ending in {"done", "bound"}

    @property
    def prompts(self) -> float | None:
        """Number of held-out prompts, as far as it is known."""
        known = number(self.info, "held_out") or number(self.settings, "eval.prompts")
        return known or None

    @property
    def samples(self) -> float | None:
        """Completions of a held-out prompt in a sampled evaluation, as far as it is known."""
        return number(self.info, "eval_samples") if self.trainer else number(self.settings, "eval.samples")

    @property
    def measuring(self) -> Mapping[str, Any]:
        """Settings of its evaluations by key; another trainer has its own, of which some are in ``run.json``."""
        if not self.trainer:
            return {key: self.settings.get(key) for key in MEASURING} | {TEMPERATURE: 1.0}
        found = {
            "eval.prompts": self.prompts,
            "eval.samples": self.samples,
            TEMPERATURE: number(self.info, "eval_temperature") or None,
        }
        return {key: value for key, value in found.items() if value is not None}


def has_values(run: ComparedRun, key: str) -> bool:
    """Whether a run has a value of a measure."""
    return any(curve.x for curve in run.curves.get(key, {}).values())


def read_run(directory: Path, metric: str = "eval/accuracy") -> ComparedRun:
    """Read a run directory.

    Args:
        directory: The run directory.
        metric: A key of the step log that has a curve besides those of evaluations.

    Raises:
        RunError: One of its files is broken, or of another version.
    """
    run = load_run(directory)
    settings = flat_settings(run.config)
    spent = {axis: costs for axis, kind in AXES.items() if (costs := _known(kind.spent(run.metrics)))}
    return ComparedRun(
        directory=directory,
        seed=_seed(directory, settings.get(SEED, run.info.get("seed", 0))),
        settings=settings,
        info=run.info,
        step=int(run.metrics[-1]["step"]) if run.metrics else 0,
        ending=run.ending,
        spent={axis: costs[-1] for axis, costs in spent.items()},
        curves={key: _curves(run, key, spent) for key in dict.fromkeys([metric, *_evaluated(run)])},
        tasks=read_tasks(directory / "tasks.jsonl"),
    )


def _seed(directory: Path, value: object) -> int:
    if not isinstance(value, int):
        raise RunError(f"{directory / 'config.toml'}: {SEED} is {value!r}, which is no whole number; restore the file")
    return int(value)


def _known(costs: list[float | None]) -> list[float]:
    """The costs, never descending; empty where one is missing or nothing was spent."""
    if not costs or any(cost is None or not math.isfinite(cost) for cost in costs) or not costs[-1]:
        return []
    found: list[float] = np.maximum.accumulate([cost or 0.0 for cost in costs]).tolist()
    return found


def _evaluated(run: Run) -> list[str]:
    """Keys of the measures that evaluations gave."""
    keys = dict.fromkeys(key for row in run.metrics for key in row if key.startswith(_EVALUATED))
    ours = [key for key in keys if key.startswith("eval/") or key.endswith(("/accuracy", "/greedy"))]
    return [key for key in ours if key not in _FURTHER]


def _curves(run: Run, key: str, spent: Mapping[str, list[float]]) -> dict[str, Curve]:
    values = [number(row, key) for row in run.metrics]
    made = [(place, value) for place, value in enumerate(values) if value is not None and math.isfinite(value)]
    return {
        axis: Curve([costs[place] for place, _ in made], [value for _, value in made]) for axis, costs in spent.items()
    }
