"""The live display in a terminal: its content, its size, and what hostile text does to it."""

import io
import re

import pytest
from rich.console import Console

from rekindle.observability.live.run_state import RunState
from rekindle.observability.live.shown_samples import shown_samples
from rekindle.observability.live.terminal import TerminalView
from rekindle.observability.progress import Progress
from rekindle.records.activity import Activity, Part

STEP = {
    "step": 41, "total_rollouts": 10496, "groups/asked": 64, "groups/mixed": 19, "groups/trained": 19,
    "reward/mean": 0.4637, "completion/length_mean": 11.1, "eval/accuracy": 0.46, "eval/greedy": 0.7, "lr": 1e-5,
}  # fmt: skip
HOSTILE = "\x1b[2J\x1b]0;owned\x07[bold red]x[/] [link=http://evil]\r\n\x9b31m\u202e\x00\x08" + "\u4e2d" * 300
OWN = re.compile(r"\x1b\[[0-9;?]*[mAKhl]")
"""What rich writes itself: styles, cursor up, erase line, cursor on and off."""


def samples(*texts):
    return [
        {"step": 41, "split": "train", "reward": 1.0 - index, "generated_tokens": 9, "prompt": text, "completion": text}
        for index, text in enumerate(texts)
    ]


def displayed(lines, *, width=100, height=40, activity=None, color=None):
    """What a terminal gets from a step and the end of a run."""
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=width, height=height, color_system=color, _environ={})
    with Progress(82, console=console) as progress:
        if activity:
            progress.follow(activity)
        progress.samples(lines)
        progress.step(STEP)
    return output.getvalue()


def test_everything_at_a_glance():
    activity = Activity(clock=lambda: 0.0)
    activity.begin(Part.ROLLING_OUT, 256)
    activity.tell(96)
    shown = shown_samples(samples("What is 6 * 7?", "an error"))
    state = RunState("step 41 of 82", 0.5, "step 41: so and so", samples=shown, activity=activity)
    state.add(STEP)
    console = Console(file=io.StringIO(), width=100, height=40)
    view = TerminalView(state, console)
    view.update()
    with console.capture() as captured:
        console.print(view.picture())
    for words in ("step 41 of 82", "50%", "rolling out 96 of 256", "held-out accuracy 0.46, greedy 0.70 (step 41)",
                  "step 41: so and so", "learning rate", "1e-05", "right, reward 1", "wrong, reward 0",
                  "What is 6 * 7?"):  # fmt: skip
        assert words in captured.get()


def test_at_the_end_nothing_is_being_done():
    activity = Activity()
    activity.begin(Part.TRAINING)
    last = displayed([], activity=activity).split("step 41 of 82")[-1]
    assert "training" not in last


@pytest.mark.parametrize("color", [None, "truecolor"])
def test_what_the_policy_wrote_does_not_reach_the_terminal_raw(color):
    text = displayed(samples(HOSTILE, HOSTILE), color=color)
    rest = OWN.sub("", text)
    assert not set(rest) & {"\x1b", "\x07", "\x9b", "\u202e", "\x00", "\x08"}
    assert "\x1b[2J" not in text
    assert "[bold red]x[/]" in rest  # markup is text
    assert "\x1b]8" not in text  # no link


@pytest.mark.parametrize("width", [20, 40, 73, 74, 100])
def test_samples_are_cut_to_the_width(width):
    from rich.cells import cell_len

    text = OWN.sub("", displayed(samples(HOSTILE, "y" * 1000), width=width))
    lines = re.split(r"[\r\n]+", text)
    assert max(map(cell_len, lines)) <= width
    assert all("\N{HORIZONTAL ELLIPSIS}" in line for line in lines if "yyy" in line)


@pytest.mark.parametrize("height", [5, 10, 16, 24, 40])
def test_the_picture_fits_into_the_terminal(height):
    text = displayed(samples("a" * 500, "b" * 500), height=height, width=80)
    pictures = text.split("step 41 of 82")[1:]
    assert all(picture.count("\n") <= height for picture in pictures)
    assert ("right, reward 1" in text) == (height >= 10)


def test_a_narrow_terminal_has_no_table():
    assert "learning rate" in displayed([], width=74)
    assert "learning rate" not in displayed([], width=73)


def test_samples_stay_until_there_are_others():
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=100, height=40, color_system=None, _environ={})
    with Progress(82, console=console) as progress:
        progress.samples(samples("kept"))
        progress.step(STEP)
        progress.samples([])
        progress.step(STEP)
    assert "kept" in output.getvalue().split("step 41 of 82")[-1]


def test_a_log_file_gets_no_samples_and_no_activity():
    output = io.StringIO()
    with Progress(82, console=Console(file=output, force_terminal=False, width=80)) as progress:
        assert not progress.is_live
        progress.follow(Activity())
        progress.samples(samples(HOSTILE))
        progress.step(STEP)
    assert output.getvalue() == "step 41: 19 of 64 groups taught (45 without signal); held-out accuracy 0.46\n"


def test_a_live_display_is_live_while_it_is_on():
    progress = Progress(82, console=Console(file=io.StringIO(), force_terminal=True, _environ={}))
    assert not progress.is_live
    with progress:
        assert progress.is_live
    assert not progress.is_live
