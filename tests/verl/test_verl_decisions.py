"""The same decisions as natively: same prompts, sizes, temperatures, outcomes and fates, group by group."""

import json
import sqlite3

import pytest
from keyed_rewards import keyed_reward
from tiny_run import row

from rekindle import load_run
from rekindle.config import Config, read_toml
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


def natively(run):
    """Records of the native scheduler for the same rewards, with the movements that the run has measured."""
    config = Config.model_validate_json(json.dumps(read_toml(run.directory / "config.toml")))
    numbers = {task.id: number for number, task in enumerate(tasks_of([row(number) for number in range(40)]))}
    scheduler, records = build_scheduler(config, list(numbers), None), []
    for line in run.metrics:
        while scheduler.take() is None:
            for request in list(iter(scheduler.ask, None)):
                number = numbers[request.task_id]
                rewards = [keyed_reward(number, request.seed, session) for session in range(request.n)]
                scheduler.tell(request.id, [rewarded(reward) for reward in rewards])
        records += scheduler.drain_records()
        scheduler.advance(line["version"], line["moved"] or 0.0)
    return [
        (
            one.request.id, one.request.step, one.request.version, one.request.task_id, one.request.n,
            one.request.temperature, one.successes, one.outcome, one.previous_outcome, one.first_outcome, one.fate,
        )
        for one in records
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("recipe", "changes"),
    [("recycle", ()), ("erpo", HEAT), ("dapo", ()), ("rekindle", ("actor_rollout_ref.rollout.n=1",))],
)
def test_decisions_are_those_of_the_native_scheduler(recipe, changes, make_run):
    asked = [f"+rekindle.recipe={recipe}", *changes, *REWARDS]
    made = make_run(mode="rekindle", steps=12 if recipe == "erpo" else 6, changes=asked).checked()
    run = load_run(made.out / "checkpoints" / "rekindle")
    found, wanted = ledger(run.directory), natively(run)
    assert found == sorted(wanted)
    if recipe == "erpo":
        assert len({one[5] for one in found}) > 1
    if recipe == "rekindle":
        assert all(line["moved"] is not None for line in run.metrics)
