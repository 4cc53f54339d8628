"""Drivers that are killed while requests are in flight and a step ahead is sampled: the same further decisions."""

import json

import pytest
from resumed import UPDATE, assert_went_on
from test_verl_decisions import HEAT, REWARDS
from tiny_run import SEPARATE

STEPS = 6
AHEAD = ("+rekindle.train.max_off_policy_steps=1", "algorithm.rollout_correction.rollout_is=token")
MODES = {
    "rekindle_colocate_async": (),
    "rekindle_separate_async": (*SEPARATE, "trainer.v1.trainer_mode=rekindle_separate_async"),
}


def asked(mode, recipe, *changes):
    given = [*MODES[mode], f"+rekindle.recipe={recipe}", *AHEAD, *changes, *REWARDS]
    return {"mode": mode, "steps": STEPS, "changes": [*given, "trainer.save_freq=2", "trainer.resume_mode=auto"]}


def state_of(out, step):
    text = (out / "checkpoints" / f"global_step_{step}" / "rekindle" / "state.json").read_text()
    return json.loads(text)["state"]


def in_flight(state):
    """Requests of a checkpoint that are asked again, and those that were told for a step ahead."""
    cohorts = state["scheduler"]["cohorts"]
    return sum(len(one["again"]) + len(one["rows"]) for one in cohorts), len(state["steps"]["played"])


COLOCATE, SEPARATED = MODES
SAVED = "verl.trainer.ppo.checkpoint_callback:CheckpointCallback.on_save"
QUEUE = "transfer_queue:save_checkpoint"
TWICE = (
    "trainer.v1.separate_async.parameter_sync_step=2",
    "actor_rollout_ref.actor.ppo_mini_batch_size=2",
    "actor_rollout_ref.rollout.n=8",
)
CASES = {
    "before an update": (COLOCATE, "erpo", HEAT, UPDATE, 4),
    "after a checkpoint but for its number": (COLOCATE, "recycle", (), SAVED, 2),
    "before an update, separate": (SEPARATED, "erpo", HEAT, UPDATE, 4),
    "before what is in flight is saved, separate": (SEPARATED, "recycle", (), QUEUE, 2),
    "two updates on the same weights, separate": (SEPARATED, "recycle", TWICE, UPDATE, 8),
}
"""Name -> mode, recipe, changes, and the moment of the kill; the checkpoint before it is that of step 2."""


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_requests_in_flight_are_asked_again(case, make_run, tmp_path):
    mode, recipe, changes, moment, at = CASES[case]
    whole = make_run(out=str(tmp_path / "whole"), **asked(mode, recipe, *changes)).checked()
    killed = make_run(out=str(tmp_path / "cut"), **asked(mode, recipe, *changes), moment=moment, at=at)
    assert killed.code == 1
    (killed.out / "checkpoints" / "latest_checkpointed_iteration.txt").write_text("2")
    asked_again, told_ahead = in_flight(state_of(killed.out, 2))
    assert asked_again + told_ahead >= 4, "the step ahead was asked for"
    again = make_run(out=str(tmp_path / "cut"), **asked(mode, recipe, *changes))
    resumed, uncut = assert_went_on(again, whole, STEPS)
    for line, other in zip(resumed.metrics, uncut.metrics, strict=True):
        assert line["reward/mean"] == pytest.approx(other["reward/mean"])
        assert line["completion/truncated"] is not None
        assert line["staleness/max"] is None or line["staleness/max"] <= (2 if changes == TWICE else 1)
    assert [one["step"] for one in resumed.samples] == [one["step"] for one in uncut.samples]
