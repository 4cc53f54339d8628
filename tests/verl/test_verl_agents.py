"""Search agents and self-play through verl's own trainer on a CPU: two FSDP2 ranks over gloo, in the embedded world."""

import json
from collections import Counter
from dataclasses import replace

import pytest
import tomli_w
from test_verl_decisions import ledger, natively, settings

from rekindle import load_run
from rekindle.config.facts import needs_answers
from rekindle.environments.search.partner import COUNTS
from rekindle.tasks.loading import load_tasks
from rekindle.warm_starts.stage import start_workbench
from searching import search_config, self_play_config

GAP = "training/rollout_probs_diff_max"
STEPS = 6
FATES = ("trained", "recycled", "excess", "retired", "expired", "failed")
ONE_ROW = [
    "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=1",
    "actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu=1",
]
TABLES = ("task", "search", "self_play", "filters", "check")


def started_in(directory, config, recipe, prompt, response, **tables):
    """Changes of a run in an embedded world, whose policy has had its warm start: model, tables and lengths."""
    with start_workbench(config, lambda _: None) as bench:
        model = bench.directory
    kept = {name: getattr(config, name).model_dump(mode="json", exclude_unset=True) for name in TABLES}
    toml = directory / "recipe.toml"
    given = {"recipe": recipe, "engine": {"max_new_tokens": config.engine.max_new_tokens}}
    toml.write_text(tomli_w.dumps(given | {name: table for name, table in (kept | tables).items() if table}))
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


def assert_conserved(run):
    """Every group of the solver has one fate, and every rollout is one of a group."""
    steps = [line["step"] for line in run.metrics if line["step"]]
    assert steps == list(range(1, len(steps) + 1))
    for line in run.metrics:
        assert line["groups/asked"] == sum(line[f"groups/{fate}"] for fate in FATES)
    assert sum(row["n"] for row in run.ledger) == run.metrics[-1]["total_rollouts"]


def assert_decided_natively(run):
    """The native scheduler asks for the same groups, and gives them the same fates, for the successes of the run."""
    found = ledger(run.directory)
    successes = {one[0]: one[6] for one in found}
    config = settings(run)
    tasks = load_tasks(config.task, eval_prompts=config.eval.prompts, seed=0, needs_answers=needs_answers(config)).pool

    def rewards_of(request):
        return [1.0] * successes[request.id] + [0.0] * (request.n - successes[request.id])

    evaluated = replace(run, metrics=[line for line in run.metrics if line["step"]])
    assert found == sorted(natively(evaluated, [task.id for task in tasks], rewards_of))


@pytest.fixture(scope="module")
def search_changes(tmp_path_factory):
    return started_in(tmp_path_factory.mktemp("search"), search_config(), "recycle", 24, 72)


def test_a_search_agent_trains_through_verl(make_run, search_changes):
    made = make_run(mode="rekindle", steps=STEPS, prompts=4, group=4, changes=list(search_changes)).checked()
    run = load_run(made.out / "checkpoints" / "rekindle")
    assert_conserved(run)
    assert_decided_natively(run)
    assert all(one[GAP] < 1e-5 for one in made.metrics if one["step"])
    last = run.metrics[-1]
    assert last["total_tool_tokens"] > 0, "documents were read"
    assert sum(line["groups/trained"] for line in run.metrics) > 0
    assert "level_1/groups" in last or "level_2/groups" in last
    assert {f"search/{name}" for name in COUNTS} <= {*last}, "the keys of rekindle train"
    turns = sum(line["search/turns"] for line in run.metrics if line["step"])
    assert turns >= last["total_rollouts"]
    samples = [one for one in run.samples if one["split"] == "train"]
    assert any(one["turns"] > 1 for one in samples)
    assert all(one["failure"] is None for one in samples)


@pytest.fixture(scope="module")
def self_play_changes(tmp_path_factory):
    """A function of a folder and a table ``check``; the policy has learned to propose, solve and verify a little."""
    learned = (
        "warm_start.steps=300",
        "warm_start.decay_below=1.2",
        "warm_start.batch_size=32",
        "task.params.entities=8",
        "task.params.hops=1",
        "self_play.hops=1",
        "self_play.max_turns=3",
        "self_play.reference_samples=0",
        "search.max_turns=3",
        "check.kind=policy",
    )
    config = self_play_config("self_play", *learned)

    def made(check):
        tables = {"train": {"group_size": 2}, "loss": {"kl_coefficient": 0.0}, "check": check}
        return started_in(tmp_path_factory.mktemp("self_play"), config, "self_play", 60, 68, **tables)

    return made


def proposals_of(made):
    text = (made.out / "checkpoints" / "rekindle" / "proposals.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def test_self_play_trains_both_roles_in_one_update(make_run, self_play_changes):
    changes = [*self_play_changes({"kind": "off", "unsolved": "allowed"}), *ONE_ROW]
    made = make_run(mode="rekindle", steps=STEPS, prompts=6, group=1, changes=changes).checked()
    run = load_run(made.out / "checkpoints" / "rekindle")
    assert_conserved(run)
    assert [one["step"] for one in made.metrics if one["step"]] == list(range(1, STEPS + 1))
    assert all(one[GAP] < 1e-5 for one in made.metrics if one["step"])
    fates = Counter((row["role"], row["fate"]) for row in run.ledger)
    assert fates["proposer", "trained"] > 0
    assert fates["solver", "trained"] > 0
    assert sum(line["self_play/valid"] for line in run.metrics if line["step"]) > STEPS
    found = {one["verdict"]: one for one in proposals_of(made)}
    assert found["valid"]["fate"] in {"trained", "excess", "retired"}
    assert any(one["role"] == "proposer" and one["turns"] > 1 for one in run.samples)
    assert any(line["proposer/queries"] > 0 for line in run.metrics if line["step"])
    both = {f"{role}/{name}" for role in ("proposer", "search") for name in COUNTS}
    assert both <= {*run.metrics[-1]}, "the keys of rekindle train"


def test_the_policy_checks_the_questions_in_sessions_of_its_own(make_run, self_play_changes):
    check = {"prompt": "verify {question} {documents}", "max_new_tokens": 24, "noise": 0, "closed_book": 0}
    changes = [*self_play_changes({"kind": "policy", **check}), *ONE_ROW]
    made = make_run(mode="rekindle", steps=2, prompts=16, group=1, changes=changes).checked()
    run = load_run(made.out / "checkpoints" / "rekindle")
    assert_conserved(run)
    assert sum(line["rag_check/open_book"] for line in run.metrics if line["step"]) > 0
    assert sum(line["time/check"] for line in run.metrics if line["step"]) > 0
    verdicts = {one["verdict"] for one in proposals_of(made)}
    assert "unverified" not in verdicts
    for one in proposals_of(made):  # the world's verifier wants half of an answer's words
        assert one["verdict"] != "valid" or set(one["reply"].split()) & set(one["answers"][0].split())
