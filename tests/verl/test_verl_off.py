"""Recipe grpo against stock verl on the same rollouts: advantages, losses, gradients and metrics are the same."""

import json

import pyarrow
import pyarrow.parquet
import pytest
from tiny_run import row

from rekindle import load_run
from rekindle.config import Config, read_toml
from rekindle.integrations.verl.rows import tasks_of
from rekindle.methods import build_scheduler
from rekindle.types import Rollout

STEPS, PROMPTS = 4, 4
MANAGER = "rekindle.integrations.verl.agent_loops.RowAgentLoopManager"
ONE_ROW = ["actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=1"]
SAME = ("critic/", "actor/", "response_length/", "prompt_length/", "num_turns/")


def asked_by(run):
    """The rows that the scheduler of a run has asked for, in order, with their temperatures and seeds."""
    config = Config.model_validate_json(json.dumps(read_toml(run.directory / "config.toml")))
    rows = [row(number) for number in range(40)]
    ids = [task.id for task in tasks_of(rows)]
    scheduler, found = build_scheduler(config, ids, None), []
    for step in range(STEPS):
        while scheduler.take() is None:
            for request in list(iter(scheduler.ask, None)):
                own = {"rekindle_temperature": request.temperature, "rekindle_seed": request.seed}
                found.append(rows[ids.index(request.task_id)] | own)
                nothing = Rollout(token_ids=[0, 1], loss_mask=[False, True], logprobs=[0.0, -1.0], reward=0.0)
                scheduler.tell(request.id, [nothing] * request.n)
        scheduler.drain_records()
        scheduler.advance(step + 1)
    return found


def test_recipe_grpo_is_stock_verl(make_run, tmp_path):
    given = {"steps": STEPS, "prompts": PROMPTS, "reward": "often"}
    ours = make_run(mode="rekindle", changes=["+rekindle.recipe=grpo", *ONE_ROW], **given).checked()
    run = load_run(ours.out / "checkpoints" / "rekindle")
    assert any(line["trained_tokens"] < line["generated_tokens"] for line in run.metrics), "silent rows are left out"
    rows = asked_by(run)
    assert len(rows) == STEPS * PROMPTS
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "asked.parquet")
    changes = [
        f"data.train_files={tmp_path}/asked.parquet",
        "data.shuffle=False",
        f"+actor_rollout_ref.rollout.agent.agent_loop_manager_class={MANAGER}",
    ]
    stock = make_run(mode="sync", changes=[*changes, *ONE_ROW], **given).checked()
    for one, other in zip(ours.metrics, stock.metrics, strict=True):
        names = [name for name in other if name.startswith(SAME) and not name.startswith("actor/perf")]
        assert {"critic/score/mean", "critic/advantages/max", "actor/pg_loss", "actor/grad_norm", "actor/entropy"} <= {
            *names
        }
        assert {name: one[name] for name in names} == pytest.approx(
            {name: other[name] for name in names}, rel=2e-4, abs=1e-6
        )
    assert len({round(one["critic/score/mean"], 6) for one in stock.metrics}) > 1
