"""Recipes through verl's own trainer on a CPU: two FSDP2 ranks over gloo, and the run files of the command line."""

from collections import Counter

import pytest
from tiny_run import Run

from rekindle import compare, load_run
from rekindle.comparison.notes import notes

GAP = "training/rollout_probs_diff_max"
STEPS = 6
FATES = ("trained", "recycled", "excess", "retired", "expired", "failed")
RECIPES = {
    "grpo": (),
    "recycle": (),
    "erpo": ("+rekindle.heating.delta=0.3", "+rekindle.heating.maximum=1.6"),
    "rekindle": (),
    "c_rf_ntf": ("actor_rollout_ref.rollout.n=1",),
}


def asked(name, *changes, mode="rekindle"):
    return {"mode": mode, "changes": [f"+rekindle.recipe={name}", *changes]}


def assert_conserved(run, steps):
    """Every group has one fate, and every rollout is one of a group."""
    assert [line["step"] for line in run.metrics] == list(range(1, steps + 1))
    for line in run.metrics:
        assert line["groups/asked"] == sum(line[f"groups/{fate}"] for fate in FATES)
    ledger = run.ledger
    assert sum(row["n"] for row in ledger) == run.metrics[-1]["total_rollouts"]
    assert Counter(row["fate"] for row in ledger)["trained"] == sum(line["groups/trained"] for line in run.metrics)


VALIDATED = ("trainer.test_freq=3",)


@pytest.fixture(scope="module")
def trained(cluster, tmp_path_factory):
    """A function that makes the run of a recipe once, with validation."""
    made = {}

    def train(name):
        if name not in made:
            out = str(tmp_path_factory.mktemp(name))
            made[name] = cluster.make(Run(out, steps=STEPS, **asked(name, *RECIPES[name], *VALIDATED))).checked()
        return made[name]

    return train


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_trains_through_verl(trained, name):
    made = trained(name)
    run = load_run(made.out / "checkpoints" / "rekindle")
    assert_conserved(run, STEPS)
    assert all(0 < one[GAP] < 1e-5 for one in made.metrics)
    assert all(line["policy_gap"] < 1e-5 for line in run.metrics)
    assert (made.out / "checkpoints" / "rekindle" / "report.html").exists()
    shared = {name for name in made.metrics[0] if name.startswith("rekindle/")}
    assert {"rekindle/groups/trained", "rekindle/advantage/abs_mean", "rekindle/pool/live"} <= shared


def test_runs_through_verl_are_compared(trained):
    comparison = compare(trained("grpo").out, trained("recycle").out)
    assert [arm.name for arm in comparison.arms] == ["grpo", "recycle"]
    assert comparison.metric == "eval/greedy", "verl validates with the most probable answers"
    for run in comparison.runs:
        found = load_run(run.directory)
        validated = [line for line in found.metrics if "eval/greedy" in line]
        assert [line["step"] for line in validated] == [3, STEPS]
        curve = run.curves["eval/greedy"]["rollouts"]
        assert list(curve.y) == [line["eval/greedy"] for line in validated]
        assert list(curve.x) == [line["total_rollouts"] for line in validated]
        assert run.spent["rollouts"] == sum(row["n"] for row in found.ledger)
        assert run.spent["tokens"] == sum(row["generated_tokens"] for row in found.ledger)
        assert run.spent["flops"] < run.spent["flops_sgpo"]
        assert run.tasks.held_out
        assert run.prompts == 8
    assert not [note for note in notes(comparison) if "held-out prompts" in note]
    assert "greedy accuracy" in comparison.text
