"""Whole runs with trackers: nothing of a run changes, whatever a tracker does."""

import json
import signal
from importlib.util import find_spec

import pytest
from test_loop import assert_same_run, finish, opened

from dying import UPDATE, signalled
from embedded import EXAMPLE, QUICK
from rekindle.observability.metrics import read_metrics
from rekindle.observability.trackers import checking
from rekindle.observability.trackers.checking import KINDS, TrackerKind
from rekindle.observability.trackers.follower import numbers
from rekindle.records.endings import Ending
from rekindle.testing import FakeTracker
from tracker_stores import STORES, is_clock

ALL = 'track=["tensorboard", "wandb", "mlflow", "trackio"]'
SHORT = "optimizer.warmup_steps=2"  # a longer one than the run is warned of


def down(_):
    raise ConnectionError("the server is down")


class Down(TrackerKind):
    """A tracker whose server is down."""

    def open(self, run):
        return FakeTracker(fails=down)


@pytest.fixture
def failing(monkeypatch):
    monkeypatch.setattr(checking, "find_spec", lambda name: name)
    monkeypatch.setitem(KINDS, "tensorboard", Down(""))
    monkeypatch.setitem(KINDS, "trackio", Down(""))


@pytest.mark.filterwarnings("ignore::rekindle.notices.RekindleWarning")
def test_a_run_whose_trackers_are_down_is_the_run_without_them(failing, quick_config, tmp_path):
    config = quick_config("grpo", "train.steps=2", 'track=["tensorboard", "trackio"]')
    assert finish(config, tmp_path / "tracked")[0] is Ending.DONE
    assert finish(quick_config("grpo", "train.steps=2"), tmp_path / "plain")[0] is Ending.DONE
    assert_same_run(tmp_path / "tracked", tmp_path / "plain")
    kept = [json.loads(line) for line in (tmp_path / "tracked" / "warnings.jsonl").read_text().splitlines()]
    texts = sorted(line["text"].partition(";")[0] for line in kept if line["source"] == "rekindle")
    assert texts == [
        "tensorboard could not take a step (the server is down)",
        "tensorboard lacks the last 3 steps",
        "trackio could not take a step (the server is down)",
        "trackio lacks the last 3 steps",
    ]


@pytest.mark.skipif(find_spec("tensorboard") is None, reason="tensorboard is not installed")
@pytest.mark.slow
def test_a_run_with_tensorboard_is_the_run_without_it_and_resumes(quick_config, tmp_path):
    config = quick_config("grpo", 'track=["tensorboard"]', "checkpoint.every=9")
    with opened(config, tmp_path / "tracked") as loop:
        assert loop.run(lambda: loop.step + 1 >= 3) is Ending.INTERRUPTED
    assert finish(config, tmp_path / "tracked", resume=True)[0] is Ending.DONE
    assert finish(quick_config("grpo", "checkpoint.every=9"), tmp_path / "plain")[0] is Ending.DONE
    assert_same_run(tmp_path / "tracked", tmp_path / "plain")
    assert_is_whole("tensorboard", tmp_path / "tracked")


def assert_is_whole(tracker, run):
    """The tracker has what metrics.jsonl has; a step that was made again has the clocks of either time."""
    found, lines = STORES[tracker](run).metrics, read_metrics(run / "metrics.jsonl")
    for line in lines:
        for metric, value in numbers(line).items():
            name = "policy_gap.outside" if (tracker, metric) == ("mlflow", "policy_gap/outside") else metric
            if not is_clock(name):
                assert found[name][line["step"]] == pytest.approx(value, rel=1e-6), (metric, line["step"])
    assert set(found["version"]) == {line["step"] for line in lines}


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_is_killed_or_interrupted_is_whole_in_every_tracker_after_its_resume(number, library, tmp_path):
    for name in STORES:
        library(name)
    run = tmp_path / "run"
    settings = [part for key in (*QUICK, ALL, "train.steps=6", "checkpoint.every=2", SHORT) for part in ("--set", key)]
    arguments = ["train", EXAMPLE, "--recipe", "grpo", "--out", run, *settings]
    done = signalled(arguments, UPDATE, 4, number)
    if number == signal.SIGINT:
        assert done.returncode == 130, done.stderr
        for name in STORES:
            assert_is_whole(name, run)
    again = signalled([*arguments, "--resume"], UPDATE, 99, signal.SIGTERM)
    assert again.returncode == 0, again.stderr
    assert "warning" not in done.stderr + again.stderr
    for name in STORES:
        assert_is_whole(name, run)
