"""What a person reads while a run goes on."""

import io
import re

import pytest
from rich.console import Console

from rekindle.notices import RekindleWarning
from rekindle.observability.progress import Progress, sentence

STEP = {
    "step": 41, "total_rollouts": 10496, "groups/asked": 64, "groups/mixed": 19, "groups/all_wrong": 31,
    "groups/all_correct": 14, "groups/trained": 19, "groups/fresh": 8, "groups/rescued_hard": 7,
    "groups/rescued_easy": 4, "groups/excess": 0, "groups/expired": 0, "groups/failed": 0, "groups/recycled": 45,
    "reward/mean": 0.4637,
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "19 of 64 groups taught (31 never solved, 14 always solved); 11 of them recycled; accuracy 0.46"),
        ({"eval/accuracy": 0.461, "eval/greedy": 0.7},
         "19 of 64 groups taught (31 never solved, 14 always solved); 11 of them recycled; held-out accuracy 0.46"),
        ({"eval/accuracy": None, "reward/mean": None, "groups/rescued_hard": 0, "groups/rescued_easy": 0},
         "19 of 64 groups taught (31 never solved, 14 always solved)"),
        # Two mixed groups were not needed and one failed: 16 + 31 + 14 + 2 + 1 = 64.
        ({"groups/mixed": 18, "groups/trained": 16, "groups/excess": 2, "groups/failed": 1},
         "16 of 64 groups taught (31 never solved, 14 always solved, 2 not needed, 1 failed); 11 of them recycled; "
         "accuracy 0.46"),
        # A gate that lets solved groups through (ERPO) leaves only the wrong ones, "everything" none.
        ({"groups/trained": 33},
         "33 of 64 groups taught (31 never solved); 11 of them recycled; accuracy 0.46"),
        ({"groups/trained": 64}, "64 of 64 groups taught; 11 of them recycled; accuracy 0.46"),
        # A pool that goes in turn comes back to prompts that had no signal, and recycles nothing.
        ({"groups/recycled": 0, "groups/retired": 45},
         "19 of 64 groups taught (31 never solved, 14 always solved); accuracy 0.46"),
        # Four of the groups without signal were trained and nothing says which.
        ({"groups/trained": 23}, "23 of 64 groups taught (41 without signal); 11 of them recycled; accuracy 0.46"),
    ],
)  # fmt: skip
def test_sentence(changes, words):
    assert sentence(STEP | changes) == f"step 41: {words}"


def test_sentence_of_the_evaluation_before_any_update():
    assert sentence({"step": 0, "eval/accuracy": 0.37, "eval/greedy": 0.67}) == "step 0: held-out accuracy 0.37"
    assert sentence({"step": 3}) == "step 3: nothing measured"


def test_in_self_play_the_valid_proposals_come_first():
    game: dict[str, float] = {"self_play/proposals": 64, "self_play/valid": 43}
    assert sentence(STEP | game).startswith("step 41: valid 43/64; 19 of 64 groups taught (")
    assert sentence({"step": 3, "self_play/proposals": 64, "self_play/valid": 0}) == "step 3: valid 0/64"
    assert sentence({"step": 3, "self_play/proposals": 0, "self_play/valid": 0}) == "step 3: nothing measured"


def test_held_out_accuracy_by_level():
    levels = {"level_1/accuracy": 0.54, "level_2/accuracy": 0.071, "level_1/reward": 0.9, "level_1/groups": 4}
    assert sentence({"step": 0, "eval/accuracy": 0.19} | levels) == (
        "step 0: held-out accuracy 0.19 (level 1: 0.54, level 2: 0.07)"
    )
    assert sentence({"step": 3, "reward/mean": 0.2, "level_1/reward": 0.9}) == "step 3: accuracy 0.20"


def plain(steps, metrics, seconds_a_step=0.0, rollouts=None):
    output, now = io.StringIO(), [0.0]
    console = Console(file=output, force_terminal=False, width=40)
    with Progress(steps, rollouts, console=console, clock=lambda: now[0]) as progress:
        for row in metrics:
            now[0] += seconds_a_step
            progress.step(row)
    return output.getvalue().splitlines()


def shown(lines):
    return [int(re.findall(r"^step (\d+)", line)[0]) for line in lines]


def rows(count):
    return [STEP | {"step": step} for step in range(count + 1)]


def test_a_log_gets_about_forty_lines_and_the_last_one():
    assert shown(plain(399, rows(399))) == [*range(0, 399, 10), 399]


def test_a_run_bounded_by_rollouts_gets_every_tenth_line():
    assert shown(plain(None, rows(25), rollouts=10000)) == [0, 10, 20, 25]


def test_evaluations_and_silence_bring_a_line():
    metrics = [row | ({"eval/accuracy": 0.5} if row["step"] == 7 else {}) for row in rows(400)[:10]]
    assert shown(plain(400, metrics)) == [0, 7, 9]
    assert shown(plain(4000, rows(5), seconds_a_step=31.0)) == [0, 2, 4, 5]


def test_lines_are_not_wrapped_and_the_last_is_not_repeated():
    lines = plain(1, rows(1))
    assert lines == [sentence(row) for row in rows(1)]


def test_nothing_is_printed_when_no_step_was_made():
    assert plain(10, []) == []


def test_a_warning_goes_through_the_one_channel():
    with pytest.warns(RekindleWarning, match="the pool starves"):
        Progress(10, console=Console(file=io.StringIO())).warn("the pool starves")


def test_a_terminal_gets_a_bar_with_the_place_and_the_latest_sentence():
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=160, color_system=None, legacy_windows=False, _environ={})
    with Progress(82, console=console) as progress:
        progress.step(STEP)
    text = output.getvalue()
    for words in ("step 41 of 82", "50%", "left", sentence(STEP)):
        assert words in text


def test_half_a_run_resumed_is_not_half_a_run_made_at_once():
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=160, color_system=None, _environ={})
    with Progress(82, console=console) as progress:
        progress.step(STEP)
    assert "50% 0:00:00 · -:--:-- left" in output.getvalue()


def test_a_terminal_shows_the_place_in_rollouts_when_they_bound_the_run():
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=160, color_system=None, _environ={})
    with Progress(None, 104960, console=console) as progress:
        progress.step(STEP)
    assert "10,496 of 104,960 rollouts" in output.getvalue()
    assert "10%" in output.getvalue()
