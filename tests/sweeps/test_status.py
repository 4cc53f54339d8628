"""The time that is left, worked by hand, and its words."""

from pathlib import Path

import pytest
from rich.console import Console

from rekindle.recipes import RECIPES
from rekindle.sweeps.display import Display, plan_words, state_words
from rekindle.sweeps.runs import SweepRun, done_part
from rekindle.sweeps.status import State, Status, seconds_left


def status(recipe="grpo", seed=0, state=State.WAITING, **more):
    config = RECIPES[recipe]()
    train = config.train.model_copy(update={"seed": seed, "steps": 100})
    run = SweepRun(
        name=f"{recipe}-{seed}",
        config=config.model_copy(update={"train": train}),
        directory=Path("none"),
        log=Path("none.log"),
        command=(),
    )
    return Status(run, state, **more)


def note(one, step, seconds, accuracy=None):
    one.note({"step": step, "done": step / 100, "seconds": seconds, "accuracy": accuracy})


def test_nothing_is_known_before_a_step():
    first = status(state=State.RUNNING)
    assert seconds_left([first, status(seed=1)], 1) is None
    note(first, 0, 9.0, 0.25)
    assert seconds_left([first, status(seed=1)], 1) is None
    assert (first.start_seconds, first.whole_seconds, first.accuracy) == (9.0, None, 0.25)


def test_a_run_goes_on_as_it_went():
    first = status(state=State.RUNNING)
    note(first, 0, 10.0)
    note(first, 25, 60.0)  # 50 s for a quarter
    assert first.whole_seconds == 200.0
    assert seconds_left([first], 1) == pytest.approx(150.0)


def test_the_runs_that_wait_take_as_long_as_those_of_their_recipe():
    grpo, recycle = status(state=State.RUNNING), status("recycle", state=State.RUNNING)
    for one, seconds in ((grpo, 20.0), (recycle, 60.0)):
        note(one, 0, 10.0)
        note(one, 50, seconds)  # 20 s and 100 s in all: 10 s and 50 s are left
    waiting = [status(seed=1), status("recycle", seed=1), status("erpo")]
    # Each begins with 10 s. One process: 10 s, then grpo until 40, then recycle until 150; the other: 50 s, then erpo
    # (the mean, 60 s) until 120.
    assert seconds_left([grpo, recycle, *waiting], 2) == pytest.approx(150.0)


def test_a_run_that_goes_on_counts_its_own_steps_alone():
    one = status(state=State.RUNNING)
    note(one, 81, 12.0)  # the first sign: steps before were made by another process
    assert one.whole_seconds is None
    note(one, 91, 22.0)
    assert seconds_left([one], 1) == pytest.approx(9.0)


def test_runs_that_had_ended_tell_how_long_the_others_take():
    one = status()
    one.found(State.BOUND, 40, 70.0)
    assert (one.ended, one.step) == (True, 40)
    assert seconds_left([one, status(seed=1), status(seed=2)], 1) == pytest.approx(140.0)


def test_the_part_that_is_done_is_that_of_the_nearest_bound():
    config = status().run.config
    train = config.train.model_copy(update={"steps": 10, "rollouts": 100, "tokens": None})
    config = config.model_copy(update={"train": train})
    assert done_part(config, {"step": 2, "total_rollouts": 50, "total_generated_tokens": 10**9}) == 0.5
    assert done_part(config, {"step": 12, "total_rollouts": 50}) == 1.0
    assert done_part(config, {"step": 0}) == 0.0


def test_words():
    one = status(state=State.RUNNING)
    assert state_words(one) == "starting"
    note(one, 0, 1.0)
    note(one, 50, 61.0)
    assert state_words(one) == "step 50 of 100"
    assert plan_words([one, status(seed=1)], 1, now=0.0).startswith("0 of 2 runs ended, about 3 min 1 s left (until ")
    one.state = State.FAILED
    assert state_words(one) == "failed, step 50 of 100"
    assert plan_words([one], 1) == "1 of 1 run ended"
    one.state = State.INTERRUPTED
    assert plan_words([one, status(seed=1)], 1) == "0 of 2 runs ended"
    assert plan_words([status()], 1) == "0 of 1 run ended, time left is known after the first steps"


def display(statuses, *, terminal, clock=lambda: 0.0):
    console = Console(
        force_terminal=terminal, force_interactive=terminal, width=100, height=8, record=True, quiet=False
    )
    return Display(statuses, 2, console=console, clock=clock), console


def test_a_log_has_lines_at_the_begin_the_plan_the_end_and_after_a_silence():
    now = [0.0]
    one, other = status(), status("recycle")
    shown, console = display([one, other], terminal=False, clock=lambda: now[0])
    with shown:
        one.state = State.RUNNING
        shown.changed(one)
        note(one, 0, 5.0, 0.2)
        shown.progressed(one)
        note(one, 10, 10.0)
        shown.progressed(one)  # the plan
        note(one, 11, 11.0)
        shown.progressed(one)  # too soon
        now[0] = 61.0
        shown.progressed(one)
        one.state, one.why = State.BOUND, "no signal"
        shown.changed(one)
    lines = console.export_text().splitlines()
    assert lines[0] == "grpo-0: begins"
    assert lines[1].startswith("0 of 2 runs ended, about ")
    assert lines[2] == "grpo-0: step 11 of 100, held-out accuracy 0.20"
    assert lines[3].startswith("0 of 2 runs ended, about ")
    assert lines[4] == "grpo-0: stopped at a bound, step 11 of 100, held-out accuracy 0.20, 11 s: no signal"
    assert lines[5].startswith("1 of 2 runs ended")
    assert len(lines) == 6


def test_a_terminal_with_few_lines_shows_the_runs_that_are_made():
    statuses = [status(seed=seed) for seed in range(20)]
    for seed in (3, 9):
        statuses[seed].state = State.RUNNING
    shown, console = display(statuses, terminal=True)
    with shown:
        pass
    text = console.export_text()
    assert "grpo-3" in text
    assert "grpo-9" in text
    assert "grpo-15" not in text
    assert "0 of 20 runs ended" in text
