"""Combinations of methods really train: engine, update, ledger and resume, the one of the documentation included."""

import json

import pytest
import torch
from test_loop import assert_same_run, finish, last_weights, ledger_rows, opened, without_clocks

from fast import sample
from rekindle.methods.composition import ALL_TOGETHER, overrides
from rekindle.records.endings import Ending
from rekindle.types import Fate

COMBINATIONS = [
    ALL_TOGETHER,
    ("posterior recycling", "knapsack", "ERPO heating", "token filter"),
    ("posterior recycling", "SPO baseline", "batch-scaled step"),
    ("MoPPS", "PODS", "GSPO"),
    ("GRESO", "DAPO refill", "SPEED top-up", "shrunk baseline"),
    ("sGPO phases", "PODS", "token filter", "batch-scaled step"),
    ("sGPO phases", "SPO baseline", "CISPO"),
    ("single rollout", "SPO baseline", "token filter", "ERPO heating"),
    ("single rollout", "CISPO", "importance off-temperature"),
    ("query recycling", "Reinforce-Ada", "batch-scaled step"),
    ("query recycling", "SPEED top-up", "sized groups 1/p"),
    ("RL-ZVP", "ERPO heating", "sized groups 1/p"),
    ("ERPO RA", "importance off-temperature", "GSPO", "DAPO refill"),
    ("knapsack", "ERPO RA", "CISPO", "PODS"),
]


@pytest.fixture(scope="module")
def config_of(quick_config):
    def config(*names):
        settings = overrides(*names)
        keys = [f"{table}.{key}={json.dumps(value)}" for table in settings for key, value in settings[table].items()]
        return quick_config("grpo", *keys, "train.steps=2", "task.pool_size=24", "eval.every=9", "eval.prompts=4")

    return config


@pytest.mark.parametrize("names", sample(COMBINATIONS, *COMBINATIONS[:1]), ids=", ".join)
def test_a_combination_trains_and_conserves(names, config_of, tmp_path):
    ending, loop = finish(config_of(*names), tmp_path / "run")
    assert (ending, loop.step) == (Ending.DONE, 2)
    assert loop.version > 0
    rows, last = ledger_rows(tmp_path / "run"), without_clocks(tmp_path / "run")[-1]
    assert sum(row["n"] for row in rows) == last["total_rollouts"]
    assert [row["request_id"] for row in rows] == list(range(len(rows)))
    assert {row["fate"] for row in rows} <= set(Fate)
    assert all(torch.isfinite(weight).all() for weight in last_weights(tmp_path / "run").values())


@pytest.mark.slow
def test_all_together_resumes_bit_for_bit(config_of, tmp_path):
    config = config_of(*ALL_TOGETHER)
    finish(config, tmp_path / "whole")
    with opened(config, tmp_path / "halves") as loop:
        assert loop.run(lambda: loop.step == 1) is Ending.INTERRUPTED
    finish(config, tmp_path / "halves", resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "halves")
