"""Drivers that are killed: the run goes on from its checkpoint with the same further decisions and updates."""

import pytest
from resumed import UPDATE, assert_went_on, differences, run_of
from test_verl_decisions import HEAT, REWARDS, ledger

from rekindle.evaluation.profile_file import load_profile

STEPS = 6
SINGLE = ("actor_rollout_ref.rollout.n=1",)
PROFILE = (*SINGLE, "+rekindle.profile.samples=4")
SLOW = {
    "grpo": (),
    "erpo": (*HEAT, "data.train_max_samples=8"),
    "sgpo": PROFILE,
    "c_rf_ntf": SINGLE,
    "rekindle": SINGLE,
}
JOURNAL_LINE = "rekindle.evaluation.journal:Journal.add"
"""A prompt of the pass was played."""


def asked(recipe, *changes):
    given = [f"+rekindle.recipe={recipe}", "trainer.save_freq=2", "trainer.resume_mode=auto", *changes, *REWARDS]
    return {"mode": "rekindle", "steps": STEPS, "changes": given}


@pytest.fixture(scope="module")
def whole(cluster, tmp_path_factory):
    """A function of a recipe: its run without a kill, made once."""
    from tiny_run import Run

    made = {}

    def of(recipe, *changes):
        if recipe not in made:
            out = tmp_path_factory.mktemp(recipe)
            made[recipe] = cluster.make(Run(str(out), **asked(recipe, *changes))).checked()
        return made[recipe]

    return of


def assert_resumes(make_run, whole, out, recipe, *changes, moment=UPDATE, at=4):
    """Kill a run at a moment, go on with it, and compare it with the one that was not killed."""
    killed = make_run(out=str(out), **asked(recipe, *changes), moment=moment, at=at)
    assert killed.code == 1
    uncut = whole(recipe, *changes)
    assert len(ledger(killed.out / "checkpoints" / "rekindle")) < len(ledger(uncut.out / "checkpoints" / "rekindle"))
    again = make_run(out=str(out), **asked(recipe, *changes))
    assert_went_on(again, uncut, STEPS)
    assert differences(run_of(again), run_of(uncut)) == {}
    return again


def profile_of(made):
    profile = load_profile(run_of(made).directory / "profile.parquet")
    return profile.samples.tolist(), profile.successes.tolist()


def test_a_killed_driver_goes_on_with_the_same_decisions(make_run, whole, tmp_path):
    assert_resumes(make_run, whole, tmp_path / "cut", "recycle")


@pytest.mark.slow
@pytest.mark.parametrize("recipe", SLOW)
def test_every_recipe_goes_on_with_the_same_decisions(recipe, make_run, whole, tmp_path):
    again = assert_resumes(make_run, whole, tmp_path / "cut", recipe, *SLOW[recipe])
    if recipe == "erpo":
        assert len({row["temperature"] for row in run_of(again).ledger}) > 1


@pytest.mark.slow
@pytest.mark.parametrize("at", [1, 20])
def test_a_pass_that_profiles_goes_on_where_it_was_killed(at, make_run, whole, tmp_path):
    again = assert_resumes(make_run, whole, tmp_path / "cut", "sgpo", *PROFILE, moment=JOURNAL_LINE, at=at)
    assert (tmp_path / "cut" / "log.txt").read_text().count("profiling 40 prompts") == 2
    assert profile_of(again) == profile_of(whole("sgpo"))
