"""The embedded task, small: what whole runs in the tests have in common."""

from pathlib import Path

EXAMPLE = Path(__file__).parents[1] / "examples" / "spell_backward.toml"
QUICK = (
    "warm_start.steps=150",
    "warm_start.sampled_accuracy=[0.0, 1.0]",
    "task.pool_size=96",
    "task.params.max_length=5",
    "train.groups_per_step=8",
    "train.steps=4",
    "eval.every=3",
    "eval.prompts=16",
    "checkpoint.every=2",
)
"""Settings under which a whole run takes a second: short words are learnt by a short warm start."""
