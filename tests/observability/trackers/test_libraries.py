"""The trackers with their real libraries, read back with them."""

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

from rekindle.config import Config
from rekindle.config.tables.tracking import TRACKERS
from rekindle.observability.metrics import MetricsWriter
from rekindle.observability.trackers import check_trackers, tracked
from rekindle.observability.trackers.checking import KINDS
from rekindle.observability.trackers.follower import Record
from rekindle.observability.trackers.tracker import parameters
from rekindle.observability.trackers.trackio import WRITE_SECONDS
from rekindle.observability.trackers.wandb import FLUSH_SECONDS
from tracker_stores import STORES

LINES = [
    {"step": 0, "version": 0, "loss": None, "eval/accuracy": 0.25, "policy_gap": None, "policy_gap/outside": None},
    {"step": 1, "version": 1, "loss": 0.5, "policy_gap": 0.125, "policy_gap/outside": 0.0},
    {"step": 2, "version": 2, "loss": float("nan"), "policy_gap": 0.25, "policy_gap/outside": 0.5},
    {"step": 3, "version": 3, "loss": -0.75, "eval/accuracy": 0.5, "policy_gap": 0.5, "policy_gap/outside": 0.25},
    {"step": 4, "version": 4, "loss": 1.5, "reward/a@b": 1.0, "policy_gap": 0.75, "policy_gap/outside": 0.125},
    {"step": 5, "version": 5, "loss": 2.5, "eval/accuracy": 1.0, "policy_gap": 1.0, "policy_gap/outside": 0.0625},
]
OTHER_NAMES = {"mlflow": {"policy_gap/outside": "policy_gap.outside", "reward/a@b": "reward/a_b"}}
"""Names that a tracker does not accept."""


def configuration(*trackers, **tracking):
    return Config.model_validate({"track": trackers, "tracking": tracking, "train": {"steps": 5}})


def run_steps(directory, config, lines, resumed_from=-1):
    check_trackers(config)
    with MetricsWriter(directory / "metrics.jsonl") as log:
        log.truncate_after(resumed_from)
        with tracked(config, directory, log, resumed_from=resumed_from) as metrics:
            for line in lines:
                metrics.append(line)


def expected(tracker, lines):
    found = {}
    for line in lines:
        for metric, value in line.items():
            if metric != "step" and value is not None and value == value:
                name = OTHER_NAMES.get(tracker, {}).get(metric, metric)
                found.setdefault(name, {})[line["step"]] = value
    return found


def test_every_tracker_has_a_class_and_an_extra():
    import tomllib
    from pathlib import Path

    assert KINDS.keys() == TRACKERS.keys() == STORES.keys()
    project = Path(__file__).parents[3] / "pyproject.toml"
    extras = tomllib.loads(project.read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    for name, choice in TRACKERS.items():
        assert [one for one in extras[name] if one.startswith(f"{choice.package}>=")]


@pytest.mark.parametrize("tracker", STORES)
def test_what_a_run_hands_over_is_read_back(tracker, library, tmp_path):
    library(tracker)
    run = tmp_path / "first"
    run.mkdir()
    config = configuration(tracker)
    run_steps(run, config, LINES)
    kept = STORES[tracker](run)
    assert kept.metrics == expected(tracker, LINES)
    assert kept.name == "first"
    for key, value in parameters(config.model_dump(mode="json", exclude_none=True)):
        if not isinstance(value, str):
            assert str(kept.parameters[key]) in {str(value), f"{value:.1f}"}, key
    assert kept.parameters["recipe"] == "grpo"


@pytest.mark.parametrize("tracker", STORES)
def test_a_resumed_run_is_one_run_with_every_step_once(tracker, library, tmp_path):
    """Killed after step 4, continued from the checkpoint of step 2 with another number of steps."""
    library(tracker)
    config = configuration(tracker)
    run_steps(tmp_path, config, LINES[:5])
    longer = config.model_copy(update={"train": config.train.model_copy(update={"steps": 9})})
    run_steps(tmp_path, longer, LINES[3:], resumed_from=2)
    kept = STORES[tracker](tmp_path)
    assert (kept.metrics, kept.twice) == (expected(tracker, LINES), set())


@pytest.mark.parametrize("tracker", STORES)
def test_a_run_that_begins_again_without_a_checkpoint_is_one_run(tracker, library, tmp_path):
    library(tracker)
    run_steps(tmp_path, configuration(tracker), LINES[:2])
    run_steps(tmp_path, configuration(tracker), LINES, resumed_from=-1)
    kept = STORES[tracker](tmp_path)
    assert (kept.metrics, kept.twice) == (expected(tracker, LINES), set())


def own_environment():
    """Of a process that has a process of wandb of its own."""
    shared = {"WANDB_SERVICE"}
    kept = {name: value for name, value in os.environ.items() if name not in shared}
    return {**kept, "PYTHONPATH": os.pathsep.join(sys.path)}


KILLED = """
import os, sys, time
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from test_libraries import LINES, configuration
from rekindle.observability.metrics import MetricsWriter
from rekindle.observability.trackers import follower, tracked

follower.STEP_SECONDS = 60.0
directory = Path(sys.argv[1])
with MetricsWriter(directory / "metrics.jsonl") as log:
    with tracked(configuration(TRACKER), directory, log) as metrics:
        for line in LINES[:4]:
            metrics.append(line)
        time.sleep(PAUSE)
        metrics.append(LINES[4])
        os.kill(os.getpid(), 9)
"""


def kill(directory, tracker, pause=0.0):
    """Four steps, a pause, a fifth step, and the end."""
    program = KILLED.replace("TRACKER", repr(tracker)).replace("PAUSE", str(pause))
    command = [sys.executable, "-c", program, str(directory), os.path.dirname(__file__)]
    done = subprocess.run(command, env=own_environment(), capture_output=True, text=True, check=False)
    assert done.returncode == -9, done.stderr


@pytest.mark.parametrize("tracker", STORES)
def test_kill_9_leaves_the_finished_steps_readable_and_the_run_goes_on(tracker, library, tmp_path):
    library(tracker)
    pause = {"wandb": 2 * FLUSH_SECONDS + 0.1, "trackio": WRITE_SECONDS + 0.1}.get(tracker, 0.0)
    kill(tmp_path, tracker, pause)
    record = Record.read(tmp_path / "trackers" / f"{tracker}.json")
    assert record is not None
    assert record.last_step == (3 if pause else 4)
    readable = STORES[tracker](tmp_path)
    assert readable.until(record.last_step) == expected(tracker, LINES[: record.last_step + 1])
    run_steps(tmp_path, configuration(tracker), LINES[3:], resumed_from=2)
    kept = STORES[tracker](tmp_path)
    assert kept.metrics == expected(tracker, LINES)
    assert kept.twice <= ({4} if tracker == "wandb" else set())


@pytest.mark.parametrize("tracker", ["wandb", "trackio"])
def test_kill_9_at_once_loses_nothing_after_a_resume(tracker, library, tmp_path):
    """These two write a little later than they are told to."""
    library(tracker)
    kill(tmp_path, tracker)
    run_steps(tmp_path, configuration(tracker), LINES[3:], resumed_from=2)
    assert STORES[tracker](tmp_path).metrics == expected(tracker, LINES)


@pytest.mark.slow
def test_mlflow_in_its_database(library, tmp_path, monkeypatch):
    library("mlflow")
    library("sqlalchemy")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    config = configuration("mlflow", project="x")
    run_steps(tmp_path, config, LINES[:5])
    run_steps(tmp_path, config, LINES[3:], resumed_from=2)
    assert STORES["mlflow"](tmp_path).metrics == expected("mlflow", LINES)


def test_a_run_that_mlflow_no_longer_has_begins_anew_with_all_steps(library, tmp_path, monkeypatch):
    library("mlflow")
    run_steps(tmp_path, configuration("mlflow"), LINES[:3])
    monkeypatch.setenv("MLFLOW_TRACKING_URI", str(tmp_path / "another"))
    run_steps(tmp_path, configuration("mlflow"), LINES[3:], resumed_from=2)
    assert STORES["mlflow"](tmp_path).metrics == expected("mlflow", LINES)


def test_two_runs_of_one_name_stay_apart_in_trackio(library, tmp_path):
    library("trackio")
    runs = [tmp_path / "a" / "run", tmp_path / "b" / "run"]
    for run, lines in zip(runs, (LINES[:3], LINES[:2]), strict=True):
        run.mkdir(parents=True)
        run_steps(run, configuration("trackio"), lines)
    run_steps(runs[0], configuration("trackio"), LINES[3:], resumed_from=2)
    assert STORES["trackio"](runs[0]).metrics == expected("trackio", LINES)
    assert STORES["trackio"](runs[1]).metrics == expected("trackio", LINES[:2])


def test_trackio_prints_nothing_on_standard_output(library, tmp_path, capfd):
    library("trackio")
    run_steps(tmp_path, configuration("trackio"), LINES[:2])
    assert capfd.readouterr().out == ""


@pytest.mark.skipif(find_spec("tensorboard") is None, reason="tensorboard is not installed")
def test_tensorboard_needs_no_torch(tmp_path):
    program = (
        "import sys; sys.modules['torch'] = None; sys.path[:0] = sys.argv[2:]\n"
        "from pathlib import Path\n"
        "from test_libraries import *\n"
        "run_steps(Path(sys.argv[1]), configuration('tensorboard'), LINES)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path), os.path.dirname(__file__)]
    subprocess.run(command, env=own_environment(), check=True)
    assert STORES["tensorboard"](tmp_path).metrics == expected("tensorboard", LINES)
