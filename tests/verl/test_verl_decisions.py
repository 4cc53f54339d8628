"""The same decisions as natively: same prompts, sizes, temperatures, outcomes and fates, group by group."""

import json
import sqlite3

import pytest
from keyed_rewards import keyed_reward
from tiny_run import row

from rekindle import load_run
from rekindle.config import Config, read_toml
from rekindle.evaluation.profile_file import load_profile, rows_for
from rekindle.integrations.verl.rows import tasks_of
from rekindle.methods import build_scheduler
from rekindle.types import Rollout

COLUMNS = (
    "request_id, step, version, task_id, n, temperature, successes, outcome, previous_outcome, first_outcome, fate"
)
HERE = __file__.rpartition("/")[0]
REWARDS = (
    "reward.reward_manager.source=importlib",
    "reward.reward_manager.name=KeyedRewards",
    f"reward.reward_manager.module.path={HERE}/keyed_rewards.py",
)
HEAT = ("+rekindle.heating.delta=0.3", "+rekindle.heating.maximum=1.6")


def ledger(directory):
    with sqlite3.connect(directory / "ledger.sqlite") as database:
        return database.execute(f"SELECT {COLUMNS} FROM groups ORDER BY request_id").fetchall()


def rewarded(reward):
    return Rollout(token_ids=[0, 1], loss_mask=[False, True], logprobs=[0.0, -1.0], reward=reward)


def settings(run):
    """The settings in the run's directory."""
    return Config.model_validate_json(json.dumps(read_toml(run.directory / "config.toml")))


def natively(run, ids, rewards_of):
    """Records of the native scheduler for the same rewards, with the movements that the run has measured.

    Args:
        run: The run on verl.
        ids: Of the pool, in its order.
        rewards_of: The rewards of a request's rollouts.
    """
    config = settings(run)
    profiled = run.directory / "profile.parquet"
    profile = rows_for(load_profile(profiled), ids) if profiled.exists() else None
    scheduler, records = build_scheduler(config, ids, profile), []
    for line in run.metrics:
        while scheduler.take() is None:
            for request in list(iter(scheduler.ask, None)):
                scheduler.tell(request.id, [rewarded(reward) for reward in rewards_of(request)])
        records += scheduler.drain_records()
        scheduler.advance(line["version"], line["moved"] or 0.0)
    return [
        (
            one.request.id, one.request.step, one.request.version, one.request.task_id, one.request.n,
            one.request.temperature, one.successes, one.outcome, one.previous_outcome, one.first_outcome, one.fate,
        )
        for one in records
    ]  # fmt: skip


def keyed(numbers):
    """Rewards of `keyed_rewards.py`, where tasks have these numbers."""

    def rewards_of(request):
        number = numbers[request.task_id]
        return [keyed_reward(number, request.seed, session) for session in range(request.n)]

    return rewards_of


SINGLE = ("actor_rollout_ref.rollout.n=1",)
FAST = {"recycle": (), "erpo": HEAT, "dapo": (), "prompt_baseline": SINGLE}
SLOW = {"grpo": (), "rekindle": (), "c_rf_ntf": SINGLE, "sgpo": (*SINGLE, "+rekindle.profile.samples=4")}


@pytest.mark.parametrize(
    ("recipe", "changes"),
    [*FAST.items(), *(pytest.param(*one, marks=pytest.mark.slow) for one in SLOW.items())],
)
def test_decisions_are_those_of_the_native_scheduler(recipe, changes, make_run):
    asked = [f"+rekindle.recipe={recipe}", *changes, *REWARDS]
    made = make_run(mode="rekindle", steps=12 if recipe == "erpo" else 6, changes=asked).checked()
    run = load_run(made.out / "checkpoints" / "rekindle")
    numbers = {task.id: number for number, task in enumerate(tasks_of([row(number) for number in range(40)]))}
    found, wanted = ledger(run.directory), natively(run, list(numbers), keyed(numbers))
    assert found == sorted(wanted)
    if recipe == "erpo":
        assert len({one[5] for one in found}) > 1
    if recipe == "prompt_baseline":
        assert all(line["moved"] is not None for line in run.metrics)
    if recipe == "sgpo":
        assert len({one[4] for one in found}) > 1
