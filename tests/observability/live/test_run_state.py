"""What a live display says of a run: its numbers and what it is doing."""

import pytest

from rekindle.observability.live.run_state import STEPS_SHOWN, RunState, doing_words, step_cells
from rekindle.records.activity import Doing, Part

STEP = {
    "step": 41, "reward/mean": 0.4637, "groups/mixed": 19, "groups/asked": 64, "completion/length_mean": 11.125,
    "completion/truncated": 0.001, "generated_tokens": 3100, "time/generate": 10.0, "lr": 1e-5,
}  # fmt: skip


def test_a_step_of_the_table():
    assert step_cells(STEP) == {
        "step": "41", "reward": "0.46", "signal": "30%", "greedy": "", "length": "11.1", "truncated": "<1%",
        "tokens/s": "310", "learning rate": "1e-05",
    }  # fmt: skip
    assert step_cells(STEP | {"eval/greedy": 0.7})["greedy"] == "0.70"


def test_what_a_step_does_not_have_is_left_empty():
    assert set(step_cells({"step": 0, "lr": None, "reward/mean": None}).values()) == {"0", ""}
    assert step_cells(STEP | {"time/generate": 0.0, "groups/asked": 0})["tokens/s"] == ""


def test_the_last_steps_are_kept():
    state = RunState()
    for step in range(20):
        state.add(STEP | {"step": step})
    assert [row["step"] for row in state.steps] == [str(step) for step in range(20 - STEPS_SHOWN, 20)]


def test_greedy_beside_sampled_accuracy():
    state = RunState()
    state.add(STEP | {"step": 0, "eval/accuracy": 0.2, "eval/greedy": 0.3})
    assert state.held_out == "held-out accuracy 0.20, greedy 0.30 (step 0)"
    state.add(STEP | {"step": 1})
    state.add(STEP | {"step": 20, "eval/accuracy": 0.46, "eval/greedy": 0.7})
    assert state.held_out == "held-out accuracy 0.20 -> 0.46, greedy 0.30 -> 0.70 (step 20)"


def test_a_resumed_run_does_not_pretend_to_know_its_start():
    state = RunState()
    for step, accuracy in ((20, 0.4), (40, 0.5)):
        state.add(STEP | {"step": step, "eval/accuracy": accuracy})
    assert state.held_out == "held-out accuracy 0.50 (step 40)"


@pytest.mark.parametrize(
    ("doing", "words"),
    [
        (Doing(Part.ROLLING_OUT, 256, 96, 3100, 10.0), "rolling out 96 of 256, 310 tokens/s"),
        (Doing(Part.ROLLING_OUT, 256, 0, 0, 0.0), "rolling out 0 of 256"),
        (Doing(Part.ROLLING_OUT, 256, 256, 3100, 10.0), "judging 256 rollouts"),
        (Doing(Part.EVALUATING, 1152, 1152, 0, 3.0), "evaluating 1,152 of 1,152"),
        (Doing(Part.EVALUATING, 0, 0, 0, 3.0), "evaluating, 3.0 s"),
        (Doing(Part.PREPARING, 0, 0, 0, 0.1), "preparing tasks"),
        (Doing(Part.PREPARING, 0, 64, 3100, 10.0), "preparing tasks, 64 rollouts, 310 tokens/s"),
        (Doing(Part.TRAINING, 0, 0, 0, 12.0), "training, 12 s"),
    ],
)
def test_what_a_run_is_doing(doing, words):
    assert doing_words(doing) == words


def test_without_an_activity_nothing_is_said():
    assert RunState().doing == ""
