"""rekindle: reinforcement learning with verifiable rewards in which every rollout counts."""

from importlib import import_module
from typing import TYPE_CHECKING

from rekindle.types import Fate, Group, GroupRequest, Outcome, Rollout, Task

if TYPE_CHECKING:
    from rekindle.api.comparing import compare
    from rekindle.api.evaluating import evaluate
    from rekindle.api.planning import plan
    from rekindle.api.sweeping import sweep
    from rekindle.api.training import train
    from rekindle.api.trying import try_out
    from rekindle.observability.runs import load_run
    from rekindle.scheduling.history import History
    from rekindle.scheduling.scheduler import Scheduler

__version__ = "0.1.0"
__all__ = [
    "Fate",
    "Group",
    "GroupRequest",
    "History",
    "Outcome",
    "Rollout",
    "Scheduler",
    "Task",
    "compare",
    "evaluate",
    "load_run",
    "plan",
    "sweep",
    "train",
    "try_out",
]

_LAZY = {
    "History": "rekindle.scheduling.history",
    "Scheduler": "rekindle.scheduling.scheduler",
    "compare": "rekindle.api.comparing",
    "evaluate": "rekindle.api.evaluating",
    "load_run": "rekindle.observability.runs",
    "plan": "rekindle.api.planning",
    "sweep": "rekindle.api.sweeping",
    "train": "rekindle.api.training",
    "try_out": "rekindle.api.trying",
}


def __getattr__(name: str) -> object:
    """Import what needs numpy or more only when it is asked for, so that ``import rekindle`` stays light."""
    if name not in _LAZY:
        raise AttributeError(f"module 'rekindle' has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)
