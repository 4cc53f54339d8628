"""Drivers of search agents and self-play that are killed: the same further conversations, proposals and decisions."""

import pytest
from resumed import UPDATE, assert_went_on, differences, run_of
from test_verl_agents import (
    ONE_ROW,
    proposals_of,
    search_changes,  # noqa: F401 (a fixture)
    self_play_changes,  # noqa: F401 (a fixture)
)
from test_verl_decisions import ledger

STEPS = 4
RESUMED = ("trainer.save_freq=2", "trainer.resume_mode=auto", "trainer.val_before_train=False")


def resumed(make_run, out, given):
    """A run without a kill, and the same after one in its third update, with equal metrics."""
    whole = make_run(out=str(out / "whole"), **given).checked()
    killed = make_run(out=str(out / "cut"), **given, moment=UPDATE, at=3)
    assert killed.code == 1
    assert len(ledger(killed.out / "checkpoints" / "rekindle")) < len(ledger(whole.out / "checkpoints" / "rekindle"))
    again = make_run(out=str(out / "cut"), **given)
    assert_went_on(again, whole, STEPS)
    assert differences(run_of(again), run_of(whole)) == {}
    return again, whole


def written(made):
    """What the policy wrote in every step, as far as it is kept."""
    return [(one["step"], one["task_id"], one["prompt"], one["completion"]) for one in run_of(made).samples]


@pytest.mark.slow
def test_a_search_agent_goes_on(make_run, search_changes, tmp_path):  # noqa: F811
    changes = [*search_changes, *RESUMED]
    given = {"mode": "rekindle", "steps": STEPS, "prompts": 4, "group": 4, "changes": changes}
    again, whole = resumed(make_run, tmp_path, given)
    assert written(again) == written(whole)
    assert run_of(again).metrics[-1]["total_tool_tokens"] > 0


@pytest.mark.slow
def test_self_play_goes_on(make_run, self_play_changes, tmp_path):  # noqa: F811
    check = {"prompt": "verify {question} {documents}", "max_new_tokens": 24, "noise": 0, "closed_book": 0}
    changes = [*self_play_changes({"kind": "policy", **check}), *ONE_ROW, *RESUMED]
    given = {"mode": "rekindle", "steps": STEPS, "prompts": 6, "group": 1, "changes": changes}
    again, whole = resumed(make_run, tmp_path, given)
    assert written(again) == written(whole)
    assert proposals_of(again) == proposals_of(whole)
    assert len(proposals_of(again)) > STEPS
