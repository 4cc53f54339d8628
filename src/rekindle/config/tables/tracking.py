"""Trackers: the choices of ``track``, and the table of their settings."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from rekindle.config.conditions import Condition, fact, having
from rekindle.config.keys import Table, key

__all__ = ["TRACKERS", "TrackerChoice", "TrackingTable"]


@dataclass(frozen=True, slots=True)
class TrackerChoice:
    """A tracker as a choice; its name is also that of the extra that installs it, and of the module it imports.

    Attributes:
        description: Where it keeps a run, in one line.
        package: The distribution that has its module.
        has_projects: Whether it keeps many runs, so that a run needs a project and a name.
        forbidden: Characters that it does not accept in the name of a project.
    """

    description: str
    package: str
    has_projects: bool = True
    forbidden: str = ""


TRACKERS: Mapping[str, TrackerChoice] = {
    "tensorboard": TrackerChoice("event files in `tensorboard/` of the run directory", "tensorboard", False),
    "wandb": TrackerChoice(
        "Weights & Biases; `WANDB_MODE=offline` keeps the run in its directory", "wandb", forbidden="/\\#?%:"
    ),
    "mlflow": TrackerChoice("MLflow, at `MLFLOW_TRACKING_URI`", "mlflow-skinny"),
    "trackio": TrackerChoice("Trackio, in its local database", "trackio"),
}
"""Trackers by name. ``observability.trackers`` opens them."""

WITH_PROJECTS = having(TRACKERS, "has_projects")


class TrackingTable(Table):
    """Where the trackers of `track` keep the run."""

    read_when: ClassVar[Condition | None] = fact(
        f"`track` has one of {', '.join(WITH_PROJECTS)}",
        lambda config: any(name in WITH_PROJECTS for name in config.track),
        track=("wandb",),
    )

    project: str = key("rekindle", "project of wandb and trackio, experiment of mlflow")
    name: str | None = key(None, "name of the run; absent: that of the run directory")
