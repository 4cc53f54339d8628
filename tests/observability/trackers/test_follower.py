"""The thread of a tracker: what a tracker gets, and what its failures change."""

import threading
from contextlib import contextmanager

import numpy as np
import pytest

from rekindle.config import Config
from rekindle.notices import RekindleWarning, collecting
from rekindle.observability.metrics import MetricsWriter, read_metrics
from rekindle.observability.trackers import checking, follower, tracked
from rekindle.observability.trackers.checking import KINDS, TrackerKind
from rekindle.observability.trackers.follower import Follower, Record, numbers
from rekindle.observability.trackers.tracker import Delay, parameters
from rekindle.testing import FakeTracker

STEPS = [{"step": step, "loss": step / 2, "kl": None} for step in range(5)]


@contextmanager
def warned():
    """The warnings of our code, without their repetitions."""
    texts: list[str] = []
    with collecting(lambda notice, count: texts.append(notice.text) if count == 1 else None):
        yield texts


def followed(tmp_path, opening, lines=STEPS, before=(), failed=False):
    """What is warned of while lines are appended, and at the end."""
    with warned() as texts:
        one = Follower("wandb", opening, tmp_path / "trackers" / "wandb.json", before)
        for line in lines:
            one.append(line)
        one.end(failed=failed)
        one.join()
    return texts


def raising(times, error=None):
    """A function that raises at the first calls."""
    left = [error or OSError("no route to host")] * times

    def function(*_):
        if left:
            raise left.pop()

    return function


def test_a_tracker_gets_the_numbers_of_every_step_and_the_directory_keeps_its_id(tmp_path):
    tracker = FakeTracker()
    assert followed(tmp_path, lambda: tracker) == []
    assert tracker.steps == [(step, {"loss": step / 2}) for step in range(5)]
    assert tracker.failed is False
    assert Record.read(tmp_path / "trackers" / "wandb.json") == Record("fake", 4)


def test_what_is_no_finite_number_is_left_out():
    line = {"step": 3, "a": 1, "b": 0.5, "c": None, "d": "text", "e": float("nan"), "f": float("inf"), "g": True}
    assert numbers(line) == {"a": 1, "b": 0.5, "g": True}


def test_parameters_are_keys_by_path():
    config = {"recipe": "grpo", "track": ["wandb"], "task": {"params": {}}, "train": {"steps": 3, "beta": 0.5}}
    assert dict(parameters(config)) == {
        "recipe": "grpo", "track": '["wandb"]', "task.params": "{}", "train.steps": 3, "train.beta": 0.5,
    }  # fmt: skip


def test_a_step_that_failed_is_handed_over_with_the_next_and_the_warning_comes_once(tmp_path):
    tracker = FakeTracker(fails=raising(2))
    texts = followed(tmp_path, lambda: tracker)
    assert texts == [
        "wandb could not take a step (no route to host); the run goes on, and its steps are kept for later"
    ]
    assert [step for step, _ in tracker.steps] == [0, 1, 2, 3, 4]


def test_a_tracker_that_cannot_be_opened_is_opened_later(tmp_path):
    fails, tracker = raising(3), FakeTracker()

    def opening():
        fails()
        return tracker

    assert len(followed(tmp_path, opening)) == 1
    assert [step for step, _ in tracker.steps] == [0, 1, 2, 3, 4]


def test_what_a_tracker_lacks_at_the_end_is_said(tmp_path):
    def down(step):
        if step >= 3:
            raise OSError

    tracker = FakeTracker(fails=down)
    first, last = followed(tmp_path, lambda: tracker, failed=True)
    assert first == "wandb could not take a step (OSError); the run goes on, and its steps are kept for later"
    assert last.startswith("wandb lacks the last 2 steps; metrics.jsonl has them all")
    assert [step for step, _ in tracker.steps] == [0, 1, 2]
    assert tracker.failed is True
    assert Record.read(tmp_path / "trackers" / "wandb.json") == Record("fake", 2), "a resumed run begins with step 3"


def test_a_long_message_of_a_library_is_cut_and_on_one_line(tmp_path):
    (text, _) = followed(tmp_path, raising(9, ValueError("a\n" + 400 * "b")), STEPS[:1])
    assert text == f"wandb could not take a step (a {298 * 'b'} ...); the run goes on, and its steps are kept for later"


def test_no_step_waits_for_a_tracker_that_hangs_and_the_end_waits_with_a_bound(tmp_path, monkeypatch):
    monkeypatch.setattr(follower, "STEP_SECONDS", 0.01)
    monkeypatch.setattr(follower, "CLOSE_SECONDS", 0.01)
    released = threading.Event()
    tracker = FakeTracker(fails=lambda _: released.wait())
    texts = followed(tmp_path, lambda: tracker)
    released.set()
    assert texts[0] == "waiting for wandb to take the last steps, for at most 0 seconds"
    assert texts[1].startswith("wandb lacks the last 5 steps")


def test_a_tracker_that_hangs_while_it_closes_is_said(tmp_path, monkeypatch):
    closing, released, tracker = threading.Event(), threading.Event(), FakeTracker()

    def close(failed):
        closing.set()
        released.wait()

    monkeypatch.setattr(tracker, "close", close)
    with warned() as texts:
        one = Follower("wandb", lambda: tracker, tmp_path / "wandb.json")
        one.append(STEPS[0])
        one.end(failed=False)
        closing.wait()
        monkeypatch.setattr(follower, "STEP_SECONDS", 0.01)
        monkeypatch.setattr(follower, "CLOSE_SECONDS", 0.01)
        one.join()
    released.set()
    assert texts[1].startswith("wandb did not finish in time; metrics.jsonl has them all")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"id": 3}', '{"id": "a", "last_step": null}'])
def test_a_damaged_record_begins_a_new_run(tmp_path, text):
    (tmp_path / "wandb.json").write_text(text)
    assert Record.read(tmp_path / "wandb.json") is None


def test_an_earlier_line_is_handed_over_to_a_tracker_that_lacks_it(tmp_path):
    tracker = FakeTracker(last_step=1)
    followed(tmp_path, lambda: tracker, STEPS[4:], before=STEPS[:4])
    assert [step for step, _ in tracker.steps] == [2, 3, 4]


def test_a_library_that_writes_later_has_a_step_only_after_its_delay(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("rekindle.observability.trackers.tracker.time.monotonic", lambda: now[0])
    delay = Delay(3, 1.0)
    seen = []
    for step in range(4, 9):
        seen.append(delay.after(step))
        now[0] += 0.4
    assert seen == [3, 3, 3, 4, 5]
    assert delay.newest() == 8
    assert Delay(3, 1.0).newest() == 3


# -- the step log with its trackers ------------------------------------------------------------------------------------


@pytest.fixture
def fakes(monkeypatch):
    """Fake trackers by name, and the runs that they were opened with."""
    opened = {}

    class Kind(TrackerKind):
        def open(self, run):
            tracker = FakeTracker(min(run.last_step, run.resumed_from))
            opened.setdefault(self.target, []).append((run, tracker))
            return tracker

    monkeypatch.setattr(checking, "KINDS", {})
    for name in KINDS:
        monkeypatch.setitem(KINDS, name, Kind(name))
    return opened


def configuration(*trackers, **tracking):
    return Config.model_validate({"track": trackers, "tracking": tracking})


def run_steps(directory, config, steps, resumed_from=-1):
    directory.mkdir(exist_ok=True)
    with MetricsWriter(directory / "metrics.jsonl") as log:
        log.truncate_after(resumed_from)
        with tracked(config, directory, log, resumed_from=resumed_from) as metrics:
            for step in steps:
                metrics.append({"step": step, "loss": np.float32(step), "bad": float("nan")})
        assert metrics.last_step() == steps[-1]


def test_every_step_is_in_the_log_and_in_every_tracker(tmp_path, fakes):
    run_steps(tmp_path / "run", configuration("tensorboard", "trackio", project="p"), range(3))
    assert [line["step"] for line in read_metrics(tmp_path / "run" / "metrics.jsonl")] == [0, 1, 2]
    assert set(fakes) == {"tensorboard", "trackio"}
    for ((run, tracker),) in fakes.values():
        assert tracker.steps == [(step, {"loss": float(step)}) for step in range(3)]
        assert (run.project, run.name, run.id, run.directory) == ("p", "run", None, tmp_path / "run")
        assert run.config["train"]["seed"] == 0
        assert "steps" not in run.config["train"], "what is not set is left out"


def test_a_resumed_run_continues_the_run_of_the_tracker(tmp_path, fakes):
    config = configuration("wandb", name="mine")
    run_steps(tmp_path, config, range(5))
    run_steps(tmp_path, config, range(3, 6), resumed_from=2)
    ((_, first), (run, second)) = fakes["wandb"]
    assert (run.id, run.name, run.last_step, run.resumed_from) == (first.id, "mine", 4, 2)
    assert [step for step, _ in second.steps] == [3, 4, 5]


def test_a_tracker_that_is_added_on_resume_gets_the_earlier_steps(tmp_path, fakes):
    run_steps(tmp_path, configuration(), range(3))
    assert not (tmp_path / "trackers").exists()
    run_steps(tmp_path, configuration("mlflow"), range(3, 5), resumed_from=2)
    ((run, tracker),) = fakes["mlflow"]
    assert (run.id, [step for step, _ in tracker.steps]) == (None, [0, 1, 2, 3, 4])


def test_a_run_that_ends_with_an_exception_is_a_failed_run_of_the_tracker(tmp_path, fakes):
    with (
        MetricsWriter(tmp_path / "metrics.jsonl") as log,
        pytest.raises(KeyboardInterrupt),
        tracked(configuration("wandb"), tmp_path, log),
    ):
        raise KeyboardInterrupt
    ((_, tracker),) = fakes["wandb"]
    assert tracker.failed is True


def test_without_a_channel_a_failure_is_a_python_warning(tmp_path):
    one = Follower("mlflow", raising(9), tmp_path / "x" / "mlflow.json")
    with pytest.warns(RekindleWarning, match="mlflow could not take a step"):
        one.append(STEPS[0])
    one.end(failed=False)
    with pytest.warns(RekindleWarning, match="mlflow lacks the last 1 steps"):
        one.join()


def test_the_record_of_an_unwritable_directory_is_a_failure_like_any_other(tmp_path):
    (tmp_path / "trackers").write_text("a file where a directory belongs")
    tracker = FakeTracker()
    (text,) = followed(tmp_path, lambda: tracker)
    assert "could not take a step (" in text
    assert [step for step, _ in tracker.steps] == [0, 1, 2, 3, 4], "each once"
