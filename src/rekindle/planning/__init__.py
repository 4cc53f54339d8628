"""What a run can be expected to do, by simulation: null controls over a policy that never changes."""

from rekindle.planning.frozen_policy import frozen_run, posterior_rates, recycled_share
from rekindle.planning.null_control import write_null_control

__all__ = ["frozen_run", "posterior_rates", "recycled_share", "write_null_control"]
