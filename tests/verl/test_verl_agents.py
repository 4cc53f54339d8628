"""Search agents and self-play through verl's own trainer on a CPU: two FSDP2 ranks over gloo, in the embedded world."""

import json
from collections import Counter

import pytest
import tomli_w

from rekindle import load_run
from rekindle.warm_starts.stage import start_workbench
from searching import search_config, self_play_config

GAP = "training/rollout_probs_diff_max"
STEPS = 6
FATES = ("trained", "recycled", "excess", "retired", "expired", "failed")
TABLES = ("task", "search", "self_play", "filters", "check")


def started_in(directory, config, recipe, prompt, response, **tables):
    """Changes of a run in an embedded world, whose policy has had its warm start: model, tables and lengths."""
    with start_workbench(config, lambda _: None) as bench:
        model = bench.directory
    kept = {name: getattr(config, name).model_dump(mode="json", exclude_unset=True) for name in TABLES}
    toml = directory / "recipe.toml"
    given = {"recipe": recipe, "engine": {"max_new_tokens": config.engine.max_new_tokens}}
    toml.write_text(tomli_w.dumps(given | {name: table for name, table in kept.items() if table} | tables))
    return (
        f"actor_rollout_ref.model.path={model}",
        f"+rekindle.recipe={toml}",
        "data.train_files=pool",
        "data.val_files=held_out",
        f"data.max_prompt_length={prompt}",
        f"data.max_response_length={response}",
        "data.val_max_samples=8",
        "trainer.val_before_train=True",
    )


def assert_conserved(run, steps):
    """Every group of the solver has one fate, and every rollout is one of a group."""
    assert [line["step"] for line in run.metrics if line["step"]] == list(range(1, steps + 1))
    for line in run.metrics:
        assert line["groups/asked"] == sum(line[f"groups/{fate}"] for fate in FATES)
    assert sum(row["n"] for row in run.ledger) == run.metrics[-1]["total_rollouts"]


@pytest.fixture(scope="module")
def search_changes(tmp_path_factory):
    return started_in(tmp_path_factory.mktemp("search"), search_config(), "recycle", 24, 72)


def test_a_search_agent_trains_through_verl(make_run, search_changes):
    made = make_run(mode="rekindle", steps=STEPS, prompts=4, group=4, changes=list(search_changes)).checked()
    run = load_run(made.out / "checkpoints" / "rekindle")
    assert_conserved(run, STEPS)
    assert all(one[GAP] < 1e-5 for one in made.metrics if one["step"])
    last = run.metrics[-1]
    assert last["total_tool_tokens"] > 0, "documents were read"
    assert sum(line["groups/trained"] for line in run.metrics) > 0
    assert "level_1/groups" in last or "level_2/groups" in last
    samples = [one for one in run.samples if one["split"] == "train"]
    assert any(one["turns"] > 1 for one in samples)
    assert all(one["failure"] is None for one in samples)


def test_self_play_trains_both_roles_in_one_update(make_run, tmp_path):
    changes = started_in(tmp_path, self_play_config(), "self_play", 32, 96, train={"group_size": 2})
    made = make_run(
        mode="rekindle",
        steps=STEPS,
        prompts=4,
        group=1,
        changes=[*changes, "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=1",
                 "actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu=1"],
    ).checked()  # fmt: skip
    run = load_run(made.out / "checkpoints" / "rekindle")
    assert_conserved(run, STEPS)
    assert all(one[GAP] < 1e-5 for one in made.metrics if one["step"])
    assert sum(line["self_play/proposals"] for line in run.metrics if line["step"]) > 0
    roles = Counter(row["role"] for row in run.ledger)
    assert roles["proposer"] > 0
    folder = made.out / "checkpoints" / "rekindle"
    proposals = [json.loads(line) for line in (folder / "proposals.jsonl").read_text().splitlines()]
    valid = [one for one in proposals if one["verdict"] == "valid"]
    assert valid, "the warm start has taught the proposer"
    assert roles["solver"] > 0
    assert any(one["fate"] == "trained" for one in proposals)
