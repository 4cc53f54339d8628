"""Sweeps: the runs of several recipes and seeds in worker processes that load the model once."""

from rekindle.sweeps.running import run_all
from rekindle.sweeps.runs import SweepRun
from rekindle.sweeps.status import State, Status

__all__ = ["State", "Status", "SweepRun", "run_all"]
