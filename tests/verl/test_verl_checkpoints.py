"""Drivers that are killed while they write a checkpoint: the run goes on from the one before, or from the new one."""

import pytest
from resumed import assert_went_on, differences, run_of
from test_verl_decisions import REWARDS

STEPS = 4
NEWEST = "latest_checkpointed_iteration.txt"
SAVED = "verl.trainer.ppo.v1.trainer_base:PPOTrainer._save_checkpoint"
ORDER = "torchdata.stateful_dataloader:StatefulDataLoader.state_dict"
MOMENTS = {
    "ours is half written": ("rekindle.integrations.state_folder:sync_tree", {".rekindle"}),
    "verl's is not begun": (SAVED, {"rekindle"}),
    "verl's is half written": (ORDER, {"rekindle", "actor"}),
}
"""What is there of the second checkpoint."""
WHOLE = "verl.trainer.ppo.checkpoint_callback:CheckpointCallback.on_save"
TEXTS = {"2": "is whole", "1": "is whole but for its number", "": "has no number any more"}
"""The number of the newest checkpoint, where the second has all other files."""


def asked():
    often = ("trainer.save_freq=1", "trainer.test_freq=2")
    changes = ["+rekindle.recipe=recycle", *often, "trainer.resume_mode=auto", *REWARDS]
    return {"mode": "rekindle", "steps": STEPS, "changes": changes}


@pytest.fixture(scope="module")
def whole(cluster, tmp_path_factory):
    """The run without a kill."""
    from tiny_run import Run

    return cluster.make(Run(str(tmp_path_factory.mktemp("whole")), **asked())).checked()


def assert_goes_on(make_run, whole, out, begins):
    """The run goes on after step ``begins``, and ends as the other."""
    again = make_run(out=str(out), **asked())
    assert_went_on(again, whole, STEPS)
    assert differences(run_of(again), run_of(whole)) == {}
    steps = [one["training/global_step"] for one in again.metrics if "training/global_step" in one]
    assert steps == list(range(begins + 1, STEPS + 1)), "verl's file is that of the last start"
    assert (out / "checkpoints" / NEWEST).read_text() == str(STEPS)


@pytest.mark.slow
@pytest.mark.parametrize("name", MOMENTS)
def test_a_checkpoint_that_was_cut_off_is_not_used(name, make_run, whole, tmp_path):
    moment, there = MOMENTS[name]
    killed = make_run(out=str(tmp_path / "cut"), **asked(), moment=moment, at=2)
    assert killed.code == 1
    checkpoints = killed.out / "checkpoints"
    assert {one.name for one in (checkpoints / "global_step_2").iterdir()} == there
    assert (checkpoints / NEWEST).read_text() == "1"
    assert_goes_on(make_run, whole, killed.out, begins=1)


@pytest.mark.slow
@pytest.mark.parametrize("text", TEXTS, ids=TEXTS.values())
def test_a_checkpoint_that_is_whole(text, make_run, whole, tmp_path):
    killed = make_run(out=str(tmp_path / "cut"), **asked(), moment=WHOLE, at=2)
    assert killed.code == 1
    checkpoints = killed.out / "checkpoints"
    assert (checkpoints / NEWEST).read_text() == "2"
    (checkpoints / NEWEST).write_text(text)
    assert_goes_on(make_run, whole, killed.out, begins=1 if text == "1" else 2)


@pytest.mark.slow
def test_what_cannot_be_resumed_is_said_before_ray(make_run, whole):
    number = whole.out / "checkpoints" / NEWEST
    refused = make_run(
        out=str(whole.out), **{**asked(), "changes": [*asked()["changes"], "trainer.resume_mode=disable"]}
    )
    assert refused.code == 1
    assert "has an earlier run with checkpoints, which this one would replace" in refused.output
    number.write_text("3")
    gone = (whole.out / "checkpoints" / "global_step_3").rename(whole.out / "moved")
    refused = make_run(out=str(whole.out), **asked())
    gone.rename(whole.out / "checkpoints" / "global_step_3")
    number.write_text(str(STEPS))
    assert "there is no checkpoint" in refused.output
    assert "Traceback" not in refused.output[refused.output.rindex("rekindle: ") :]
