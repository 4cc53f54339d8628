"""Names of what a row has for us on its way from the driver through verl's agent loops to its training workers."""

__all__ = ["COUNTED", "FACTS", "REQUEST", "ROLLOUT_N", "ROW_TEMPERATURE", "SEED", "TEMPERATURE"]

ROLLOUT_N = "__rollout_n__"
"""verl's own: sessions of a prompt, the group size."""
TEMPERATURE = "rekindle_temperature"
"""Sampling temperature of a prompt's sessions."""
SEED = "rekindle_seed"
"""Seed of a prompt; each of its sessions has one of its own."""
REQUEST = "rekindle_request"
"""Id of the scheduler's request."""
FACTS = "rekindle"
"""In ``extra_fields`` of a trajectory: what verl has no field for, such as retrievals and a failure."""
ROW_TEMPERATURE = "rekindle_row_temperature"
"""[rows] temperature of the log-probabilities in old policy and loss."""
COUNTED = "rekindle_counted"
"""Rows of an optimizer step that count in means over rows, without dummy ones; a mean over the steps of a batch."""
