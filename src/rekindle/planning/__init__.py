"""Simulation of runs with a frozen policy, for recycling's null control."""

from rekindle.planning.frozen_policy import frozen_run, posterior_rates, recycled_share
from rekindle.planning.null_control import write_null_control

__all__ = ["frozen_run", "posterior_rates", "recycled_share", "write_null_control"]
