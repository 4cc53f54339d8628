"""Recipes through verl's own trainer on a CPU: two FSDP2 ranks over gloo, and the run files of the command line."""

from collections import Counter

import pytest

from rekindle import load_run

GAP = "training/rollout_probs_diff_max"
STEPS = 6
FATES = ("trained", "recycled", "excess", "retired", "expired", "failed")
RECIPES = {
    "grpo": (),
    "recycle": (),
    "erpo": ("+rekindle.heating.delta=0.3", "+rekindle.heating.maximum=1.6"),
    "rekindle": ("actor_rollout_ref.rollout.n=1",),
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


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_trains_through_verl(make_run, name):
    made = make_run(steps=STEPS, **asked(name, *RECIPES[name])).checked()
    run = load_run(made.out / "checkpoints" / "rekindle")
    assert_conserved(run, STEPS)
    assert all(0 < one[GAP] < 1e-5 for one in made.metrics)
    assert all(line["policy_gap"] < 1e-5 for line in run.metrics)
    assert (made.out / "checkpoints" / "rekindle" / "report.html").exists()
    shared = {name for name in made.metrics[0] if name.startswith("rekindle/")}
    assert {"rekindle/groups/trained", "rekindle/advantage/abs_mean", "rekindle/pool/live"} <= shared
