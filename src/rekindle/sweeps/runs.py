"""A run of a sweep, and what its directory says of it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rekindle.config import Config, dump_toml
from rekindle.observability.runs import Run, load_run, read_object
from rekindle.recipes import begun_settings
from rekindle.records.checkpoint_choice import checkpoint_steps

__all__ = ["SweepRun", "done_part", "ended_before", "finished_run", "last_step", "order_of"]

LENGTH = ("steps", "rollouts", "tokens")
"""Keys of ``[train]`` that say when a run is done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepRun:
    """A run to be made.

    Attributes:
        name: Its name in displays and messages, e.g. ``grpo-0``.
        config: The complete configuration.
        directory: Run directory.
        log: File of what the run says.
        command: Arguments of the command that makes this run alone; kept in ``run.json``.
    """

    name: str
    config: Config
    directory: Path
    log: Path
    command: tuple[str, ...]


def order_of(run: SweepRun) -> str:
    """The line that tells a worker to make a run, or to go on with it."""
    order = {
        "config": dump_toml(run.config),
        "directory": str(run.directory),
        "log": str(run.log),
        "command": list(run.command),
    }
    return json.dumps(order) + "\n"


def ended_before(run: SweepRun) -> str:
    """How the run in the directory ended: "done" or "bound"; "" where it goes on, or has another length by now."""
    ending = read_object(run.directory / "run.json").get("ending")
    name = str(ending.get("name", "")) if isinstance(ending, dict) else ""
    if name not in {"done", "bound"}:
        return ""
    before, now = begun_settings(run.directory).get("train", {}), run.config.train
    return name if all(before.get(key) == getattr(now, key) for key in LENGTH) else ""


def last_step(run: SweepRun) -> int:
    """Step of the last checkpoint in the directory; 0 without one."""
    return max(checkpoint_steps(run.directory / "checkpoints"), default=0)


def finished_run(run: SweepRun) -> Run | None:
    """The files of a run that has metrics; None where there are none."""
    if not (run.directory / "config.toml").is_file():
        return None
    found = load_run(run.directory)
    return found if found.metrics else None


def done_part(config: Config, metrics: Mapping[str, Any]) -> float:
    """Part of the run that is done after a step, 0 to 1, by the nearest of its bounds."""
    train = config.train
    spent = {
        "steps": metrics.get("step", 0),
        "rollouts": metrics.get("total_rollouts", 0),
        "tokens": metrics.get("total_generated_tokens", 0),
    }
    bounds = {key: getattr(train, key) for key in LENGTH}
    return min(1.0, max((spent[key] / bound for key, bound in bounds.items() if bound), default=0.0))
