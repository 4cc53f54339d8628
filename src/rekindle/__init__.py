"""rekindle: reinforcement learning with verifiable rewards in which every rollout counts."""

from importlib import import_module
from typing import TYPE_CHECKING

from rekindle.types import Fate, Group, GroupRequest, Outcome, Rollout, Task

if TYPE_CHECKING:
    from rekindle.api import train
    from rekindle.observability.runs import load_run
    from rekindle.scheduling.history import History
    from rekindle.scheduling.scheduler import Scheduler

__version__ = "0.1.0"
__all__ = ["Fate", "Group", "GroupRequest", "History", "Outcome", "Rollout", "Scheduler", "Task", "load_run", "train"]

_LAZY = {
    "History": "rekindle.scheduling.history",
    "Scheduler": "rekindle.scheduling.scheduler",
    "load_run": "rekindle.observability.runs",
    "train": "rekindle.api",
}


def __getattr__(name: str) -> object:
    """Import what needs numpy or more only when it is asked for, so that ``import rekindle`` stays light."""
    if name not in _LAZY:
        raise AttributeError(f"module 'rekindle' has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)
