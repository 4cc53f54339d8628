"""A driver that is killed: the run goes on from its checkpoint with the same further decisions."""

import pytest
from test_verl_decisions import REWARDS, ledger

UPDATE = "verl.trainer.ppo.v1.trainer_base:PPOTrainer._update_actor"


def asked(recipe, mode="rekindle"):
    changes = [f"+rekindle.recipe={recipe}", "trainer.save_freq=2", "trainer.resume_mode=auto", *REWARDS]
    return {"mode": mode, "steps": 6, "changes": changes}


@pytest.mark.parametrize("recipe", ["recycle"])
def test_a_killed_driver_goes_on_with_the_same_decisions(recipe, make_run, tmp_path):
    whole = make_run(out=str(tmp_path / "whole"), **asked(recipe)).checked()
    killed = make_run(out=str(tmp_path / "cut"), **asked(recipe), moment=UPDATE, at=4)
    assert killed.code == 1
    assert len(ledger(killed.out / "checkpoints" / "rekindle")) < len(ledger(whole.out / "checkpoints" / "rekindle"))
    again = make_run(out=str(tmp_path / "cut"), **asked(recipe)).checked()
    assert [one["step"] for one in again.metrics][-1] == 6
    assert ledger(again.out / "checkpoints" / "rekindle") == ledger(whole.out / "checkpoints" / "rekindle")
