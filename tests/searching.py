"""The embedded search world, small: what whole runs of search agents in the tests have in common."""

from pathlib import Path

SEARCH_EXAMPLE = Path(__file__).parents[1] / "examples" / "search_agent.toml"
QUICK_SEARCH = (
    "model.tiny.layers=2",
    "model.tiny.hidden_size=32",
    "model.tiny.intermediate_size=64",
    "model.tiny.max_length=96",
    "warm_start.steps=60",
    "warm_start.batch_size=16",
    "warm_start.decay_below=1.5",
    "warm_start.decay_steps=20",
    "warm_start.sampled_accuracy=[0.0, 1.0]",
    "warm_start.least_by_level=[]",
    "task.params.entities=16",
    "task.params.name_words=12",
    "task.params.relations=3",
    "task.params.hops=2",
    "task.pool_size=64",
    "task.verifier=f1",
    "task.success_threshold=0.5",
    "search.max_turns=4",
    "engine.max_new_tokens=40",
    "train.groups_per_step=8",
    "train.group_size=4",
    "train.steps=4",
    "eval.every=3",
    "eval.prompts=16",
    "checkpoint.every=2",
)
"""Settings under which a whole run takes a second or two."""
