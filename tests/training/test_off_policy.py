"""Batches that lag behind (``train.max_off_policy_steps``): their age, the account of steps in flight, and resume."""

import json

import pytest
from test_loop import Passing, assert_same_run, finish, ledger_rows, opened, without_clocks

from dying import UPDATE, signalled
from embedded import EXAMPLE, QUICK
from rekindle.records.endings import Ending

REFILLED = ("refill.max_rounds=2", "train.oversample=1")


class Counting(Passing):
    """An environment that counts the rollouts that it plays."""

    def __init__(self, inner):
        super().__init__(inner)
        self.rollouts = 0

    def play(self, requests):
        self.rollouts += sum(request.n for request in requests)
        return self.inner.play(requests)


def counted(config, directory):
    """A run, with the environment that counted it."""
    with opened(config, directory) as loop:
        collector = loop._collector
        environment = collector._environment = Counting(collector._environment)
        return loop.run(), environment


@pytest.mark.parametrize("lag", [1, 2])
def test_every_batch_lags_behind_by_as_much_as_it_may(lag, quick_config, tmp_path):
    config = quick_config("recycle", "train.steps=5", f"train.max_off_policy_steps={lag}")
    assert finish(config, tmp_path / "run")[0] is Ending.DONE
    lines = without_clocks(tmp_path / "run")[1:]
    ages = [min(step, lag) for step in range(5)]
    assert [line["version"] for line in lines] == [1, 2, 3, 4, 5], "every step has an update"
    assert [line["staleness/mean"] for line in lines] == [line["staleness/max"] for line in lines] == ages
    sampled_by = {row["step"]: row["version"] for row in ledger_rows(tmp_path / "run")}
    assert sampled_by == {step: step - 1 - age for step, age in enumerate(ages, 1)}


def test_no_step_is_sampled_that_is_never_trained_on(quick_config, tmp_path):
    config = quick_config("dapo", *REFILLED, "train.steps=4", "train.max_off_policy_steps=1")
    ending, environment = counted(config, tmp_path / "run")
    assert ending is Ending.DONE
    rows, last = ledger_rows(tmp_path / "run"), without_clocks(tmp_path / "run")[-1]
    assert environment.rollouts == last["total_rollouts"] == sum(row["n"] for row in rows)
    assert {row["step"] for row in rows} == {1, 2, 3, 4}
    assert last["groups/expired"] == 0, "capacity bounds the age, so nothing is too old"


def test_a_budget_ends_with_the_steps_in_flight_in_the_checkpoint(quick_config, tmp_path):
    config = quick_config("grpo", "train.max_off_policy_steps=1", "train.rollouts=128", "train.steps=99")
    ending, environment = counted(config, tmp_path / "run")
    assert ending is Ending.BOUND
    total = without_clocks(tmp_path / "run")[-1]["total_rollouts"]
    newest = max((tmp_path / "run" / "checkpoints").iterdir())
    in_flight = json.loads((newest / "state.json").read_text())["state"]["collector"]["played"]
    assert environment.rollouts == total + sum(len(rollouts) for _, rollouts, _ in in_flight)
    assert in_flight


@pytest.mark.parametrize("recipe", ["recycle", "dapo"])
def test_a_resumed_run_has_the_same_steps_in_flight(recipe, quick_config, tmp_path):
    further = REFILLED if recipe == "dapo" else ()
    config = quick_config(recipe, *further, "train.steps=5", "train.max_off_policy_steps=2", "checkpoint.keep=9")
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    finish(config, whole)
    with opened(config, halves) as loop:
        assert loop.run(lambda: loop.step + 1 >= 3) is Ending.INTERRUPTED
    assert finish(config, halves, resume=True)[0] is Ending.DONE
    assert_same_run(whole, halves)


def test_kill_9_with_a_step_in_flight_then_resume_equals_the_uninterrupted_run(quick_config, tmp_path):
    overrides = ("train.steps=6", "checkpoint.every=2", "task.pool_size=64", "train.max_off_policy_steps=1")
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    finish(quick_config("recycle", *overrides), whole)
    command = ["train", str(EXAMPLE), "--recipe", "recycle", "--out", str(killed)]
    signalled(command + [part for key in (*QUICK, *overrides) for part in ("--set", key)], UPDATE, 4)
    assert finish(quick_config("recycle", *overrides), killed, resume=True)[0] is Ending.DONE
    assert_same_run(whole, killed)
