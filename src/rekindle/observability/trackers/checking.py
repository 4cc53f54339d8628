"""Checks of the trackers of a run before it begins, and the table of their classes."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import cast

from rekindle.choices import load
from rekindle.config import Config
from rekindle.observability.trackers.tracker import TrackedRun, Tracker
from rekindle.types import UserError

__all__ = ["KINDS", "TrackerKind", "check_trackers"]


@dataclass(frozen=True, slots=True)
class TrackerKind:
    """How a tracker is made.

    Attributes:
        target: "module:class"; the class is called with a ``TrackedRun``.
        check: "module:function" that raises a ``UserError`` where the user's settings of the library cannot work;
            "" where there is nothing to check.
    """

    target: str
    check: str = ""

    def open(self, run: TrackedRun) -> Tracker:
        """The tracker; imports its library."""
        return cast("Callable[[TrackedRun], Tracker]", load(self.target))(run)


KINDS = {
    "tensorboard": TrackerKind("rekindle.observability.trackers.tensorboard:TensorBoardTracker"),
    "wandb": TrackerKind(
        "rekindle.observability.trackers.wandb:WandbTracker", "rekindle.observability.trackers.wandb:check_login"
    ),
    "mlflow": TrackerKind(
        "rekindle.observability.trackers.mlflow:MlflowTracker", "rekindle.observability.trackers.mlflow:check_uri"
    ),
    "trackio": TrackerKind("rekindle.observability.trackers.trackio:TrackioTracker"),
}
"""Trackers by their name in ``track``."""


def check_trackers(config: Config) -> None:
    """Check that the trackers of a run are installed and can be used, without writing and without importing torch.

    Raises:
        UserError: One is not installed, or its settings cannot work.
    """
    for name in config.track:
        if find_spec(name) is None:
            raise UserError(
                f'track = ["{name}"] needs {name}, which is not installed; run: pip install "rekindle[{name}]"'
            )
        if check := KINDS[name].check:
            load(check)()
