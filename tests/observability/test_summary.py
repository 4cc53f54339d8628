"""The report's numbers against a ledger of a few rows, counted by hand."""

import json

import numpy as np
import pytest
from synthetic_run import write_ledger, write_run

from rekindle.observability.metrics import MetricsWriter
from rekindle.observability.narrative import conservation
from rekindle.observability.runs import load_run
from rekindle.observability.summary import Summary
from rekindle.scheduling.group_records import step_counts
from rekindle.scheduling.history import History
from rekindle.scheduling.ledger import Ledger
from rekindle.scheduling.pools import RecyclingPool
from rekindle.scheduling.scheduler import Scheduler
from rekindle.types import Rollout


def group(request, step, task, wins, outcome, first, fate, n=4):
    return (request, step, step - 1, task, "solver", n, 1.0, wins, outcome, first, first, fate, 36, 30, 0.1)


GROUPS = [
    group(1, 1, "a", 2, "mixed", None, "trained"),
    group(2, 1, "b", 0, "all_wrong", None, "recycled"),
    group(3, 1, "c", 4, "all_correct", None, "recycled"),
    group(4, 1, "d", 1, "mixed", None, "excess"),
    group(5, 2, "b", 1, "mixed", "all_wrong", "trained"),
    group(6, 2, "c", 3, "mixed", "all_correct", "trained"),
    group(7, 2, "d", 2, "mixed", "mixed", "trained"),
    group(8, 2, "e", 0, "all_wrong", None, "retired"),
    group(9, 2, "f", 0, None, None, "failed"),
    group(10, 3, "e", 0, "all_wrong", "all_wrong", "recycled", n=8),
]
METRICS = [
    {"step": 0, "eval/accuracy": 0.3, "eval/greedy": 0.5},
    {"step": 1, "total_rollouts": 16, "total_generated_tokens": 120},
    {"step": 2, "total_rollouts": 36, "total_generated_tokens": 270, "eval/accuracy": 0.4, "eval/greedy": None},
]


@pytest.fixture
def directory(tmp_path):
    write_run(tmp_path, steps=0)
    (tmp_path / "ledger.sqlite").unlink()
    write_ledger(tmp_path / "ledger.sqlite", GROUPS).close()
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in METRICS))
    return tmp_path


def test_composition_counts_every_group_of_the_finished_steps_once(directory):
    groups = Summary(load_run(directory)).composition
    assert groups.steps.tolist() == [1, 2]
    expected = {
        "fresh": [1, 0], "rescued_hard": [0, 1], "rescued_easy": [0, 1], "returned": [0, 1], "never_solved": [1, 1],
        "always_solved": [1, 0], "not_needed": [1, 0], "lost": [0, 1],
    }  # fmt: skip
    assert {name: groups.of(name).tolist() for name in expected} == expected
    assert (groups.total(), groups.share("fresh", "returned")) == (9, pytest.approx(2 / 9))


def test_recycled_share_and_conservation(directory):
    summary = Summary(load_run(directory))
    assert summary.recycled_share == 2 / 4
    assert (summary.accounted_rollouts, summary.total("rollouts")) == (36, 36)


def test_evaluations_have_the_cost_before_them(directory):
    first, second = Summary(load_run(directory)).evaluations
    assert (first.rollouts, first.tokens, first.accuracy, first.greedy) == (0, 0, 0.3, 0.5)
    assert (second.step, second.rollouts, second.tokens, second.greedy) == (2, 36, 270, None)


def test_evaluations_know_their_levels(directory):
    row = {"step": 3, "eval/accuracy": 0.3, "level_1/accuracy": 0.5, "level_2/accuracy": 0.1, "level_1/greedy": 1.0}
    with (directory / "metrics.jsonl").open("a") as log:
        log.write(json.dumps(row) + "\n")
    levels = [one.levels for one in Summary(load_run(directory)).evaluations]
    assert levels[0] == {"accuracy": {}, "greedy": {}}
    assert levels[2] == {"accuracy": {1: 0.5, 2: 0.1}, "greedy": {1: 1.0}}


def test_prompts(directory):
    summary = Summary(load_run(directory))
    assert summary.prompt_counts() == (6, 2)
    assert [(row["task_id"], row["visits"], row["successes"]) for row in summary.most_drawn(2)] == [
        ("b", 2, 1),
        ("c", 2, 7),
    ]
    assert [row["task_id"] for row in summary.never_solved(5)] == ["e", "f"]


@pytest.mark.parametrize("place", ["null_control.json", "run.json", "nested"])
def test_the_null_control_is_found_where_it_may_be(directory, place):
    assert Summary(load_run(directory)).null_control is None
    shares = {"recycled_share": 0.74, "frozen_share": 0.57}
    name = "run.json" if place == "nested" else place
    (directory / name).write_text(json.dumps({"null_control": shares} if place == "nested" else shares))
    control = Summary(load_run(directory)).null_control
    assert control is not None
    assert (control.recycled_share, control.frozen_share) == (0.74, 0.57)


def test_finished_by_steps_or_by_rollouts(directory):
    def finished(**train):
        run = load_run(directory)
        run.config["train"] = train
        return Summary(run).is_finished

    assert finished(steps=2)
    assert not finished(steps=3)
    assert finished(steps=3, rollouts=36)
    assert not finished(rollouts=37)


def test_a_synthetic_run_agrees_with_its_own_step_log(tmp_path):
    run = load_run(write_run(tmp_path, steps=25, pool=96, failing=0.02))
    summary = Summary(run)
    names = {"fresh": "fresh", "returned": "returned", "rescued_hard": "rescued_hard", "excess": "not_needed",
             "failed": "lost", "all_wrong": "never_solved"}  # fmt: skip
    for key, name in names.items():
        logged = [row[f"groups/{key}"] for row in run.metrics if row["step"]]
        assert summary.composition.of(name).tolist() == logged


def test_a_run_of_the_real_scheduler_balances_and_has_the_same_composition(tmp_path):
    write_run(tmp_path, steps=0, batch=8)
    for name in ("ledger.sqlite", "metrics.jsonl"):
        (tmp_path / name).unlink()
    history = History(f"t/{row}" for row in range(40))
    scheduler = Scheduler(RecyclingPool(history), groups_per_step=8, oversample=2)
    rng, total, ledger = np.random.default_rng(0), 0, Ledger(tmp_path / "ledger.sqlite")
    with MetricsWriter(tmp_path / "metrics.jsonl") as metrics:
        for step in range(1, 21):
            while (request := scheduler.ask()) is not None:
                wins = rng.random(request.n) < request.row / 40
                rollouts = [
                    Rollout(token_ids=[0, 0], loss_mask=[False, True], logprobs=[0.0, -1.0], reward=float(win))
                    for win in wins
                ]
                scheduler.tell(request.id, None if rng.random() < 0.02 else rollouts)
            scheduler.take()
            scheduler.advance(step)
            records = scheduler.drain_records()
            counts = step_counts(records)
            total += counts["rollouts"]
            ledger.write(records, {})
            metrics.append({"step": step, "total_rollouts": total, **counts})
    summary = Summary(load_run(tmp_path))
    assert conservation(summary)[0]
    for key in ("fresh", "returned", "rescued_hard", "rescued_easy"):
        assert summary.composition.of(key).tolist() == [row[f"groups/{key}"] for row in summary.run.metrics]
    assert summary.composition.of().tolist() == [row["groups/asked"] for row in summary.run.metrics]
    assert min(summary.composition.total(key) for key in ("fresh", "rescued_hard", "rescued_easy", "lost")) > 0
    ledger.close()
