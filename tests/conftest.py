"""Shared by all tests: one thread, and one warm start for the whole session."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

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


@pytest.fixture(scope="session", autouse=True)
def _shared_cache(tmp_path_factory):
    """Workers of one test session share warm starts, and the user's own cache is left alone."""
    root = tmp_path_factory.getbasetemp()
    shared = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root
    os.environ["REKINDLE_CACHE"] = str(shared / "rekindle-cache")


@pytest.fixture(scope="session")
def quick_config():
    """``quick_config("recycle", "train.steps=9")``: the embedded task, small."""
    from rekindle.recipes import resolve

    return lambda recipe="recycle", *overrides, seed=0: resolve(EXAMPLE, recipe, [*QUICK, *overrides], seed)
