"""Modes that go on sampling during an update, and a recipe that profiles the prompts before the first step."""

from test_verl_recipes import GAP, assert_conserved
from tiny_run import SEPARATE

from rekindle import load_run

STEPS = 4
AHEAD = ("+rekindle.train.max_off_policy_steps=1", "algorithm.rollout_correction.rollout_is=token")


def run_of(made):
    return load_run(made.out / "checkpoints" / "rekindle")


def test_colocated_rollouts_of_the_next_step_are_one_update_older(make_run):
    changes = ["+rekindle.recipe=recycle", *AHEAD]
    run = run_of(make_run(mode="rekindle_colocate_async", steps=STEPS, changes=changes).checked())
    assert_conserved(run, STEPS)
    trained = [line for line in run.metrics if line["groups/trained"]]
    assert all(line["staleness/max"] <= 1 for line in trained)
    assert any(line["staleness/max"] == 1 for line in trained)


def test_separate_rollouts_go_on_during_an_update(make_run):
    changes = [*SEPARATE, "trainer.v1.trainer_mode=rekindle_separate_async", "+rekindle.recipe=recycle", *AHEAD]
    run = run_of(make_run(mode="rekindle_separate_async", steps=STEPS, ranks=1, changes=changes).checked())
    assert_conserved(run, STEPS)
    assert all(line["staleness/max"] <= 1 for line in run.metrics if line["groups/trained"])


def test_a_profile_is_made_before_the_first_step(make_run):
    changes = ["+rekindle.recipe=sgpo", "actor_rollout_ref.rollout.n=1", "+rekindle.profile.samples=2"]
    made = make_run(mode="rekindle", steps=6, reward="often", changes=changes).checked()
    run = run_of(made)
    assert (run.directory / "profile.parquet").exists()
    assert_conserved(run, 6)
    assert all(0 < one[GAP] < 1e-5 for one in made.metrics)
    assert all(line["policy_gap"] < 1e-5 for line in run.metrics)
