"""The directory of a sweep: what it may hold, and ``sweep.json``."""

import fcntl
import json
from typing import Any

import pytest

from rekindle.config import ConfigError
from rekindle.recipes import RECIPES
from rekindle.sweeps.manifest import Manifest, check_directory, locked_sweep
from rekindle.sweeps.runs import SweepRun
from rekindle.sweeps.status import State, Status

SETTINGS: dict[str, dict[str, Any]] = {
    "task": {"source": "spell_backward"},
    "train": {"steps": 4, "learning_rate": 0.1},
}


def statuses(directory, *names):
    runs = []
    for name in names:
        recipe, seed = name.rsplit("-", 1)
        config = RECIPES[recipe]()
        config = config.model_copy(update={"train": config.train.model_copy(update={"seed": int(seed)})})
        log = directory / "logs" / f"{recipe}-{seed}.log"
        runs.append(Status(SweepRun(name=name, config=config, directory=directory / name, log=log, command=())))
    return runs


def write(directory, *names, settings=SETTINGS):
    Manifest(directory, {"command": ["train"], "settings": settings}, statuses(directory, *names)).write()


def check(directory, settings=SETTINGS, *, resume=True):
    check_directory(directory, settings, ["grpo-0"], resume=resume)


def changed(key, value):
    return SETTINGS | {"train": SETTINGS["train"] | {key: value}}


def test_the_file_has_the_runs_of_before_and_of_now(tmp_path):
    write(tmp_path, "grpo-0", "grpo-1")
    again = statuses(tmp_path, "grpo-1", "recycle-0")
    again[0].state, again[0].step = State.DONE, 4
    Manifest(tmp_path, {"command": ["train", "--resume"], "settings": SETTINGS}, again).write()
    content = json.loads((tmp_path / "sweep.json").read_text())
    assert content["version"] == 1
    assert content["command"] == ["train", "--resume"]
    assert [(run["name"], run["state"]) for run in content["runs"]] == [
        ("grpo-0", "waiting"),
        ("grpo-1", "done"),
        ("recycle-0", "waiting"),
    ]
    assert content["runs"][1] | {"why": None} == {
        "name": "grpo-1", "recipe": "grpo", "seed": 1, "directory": "grpo-1", "log": "logs/grpo-1.log",
        "state": "done", "step": 4, "why": None,
    }  # fmt: skip
    assert [path.name for path in tmp_path.iterdir()] == ["sweep.json"]


def test_a_directory_that_is_new_empty_or_its_own(tmp_path):
    check(tmp_path / "new", resume=False)
    (tmp_path / ".lock").touch()
    check(tmp_path, resume=False)
    (tmp_path / "logs").mkdir()  # killed before sweep.json was written
    check(tmp_path)
    write(tmp_path, "grpo-0")
    check(tmp_path)


def test_length_seeds_recipe_and_places_may_change(tmp_path):
    write(tmp_path, "grpo-0")
    check(tmp_path, changed("steps", 8))
    check(tmp_path, changed("seed", 8))
    check(tmp_path, SETTINGS | {"recipe": "erpo", "track": ["tensorboard"]})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (changed("learning_rate", 0.2), "is a sweep with train.learning_rate = 0.1, and now 0.2; a sweep goes on with"),
        (changed("group_size", 8), "is a sweep with no train.group_size, and now 8;"),
        (SETTINGS | {"train": {"steps": 4}}, "with train.learning_rate = 0.1, and now it is not set"),
        (SETTINGS | {"task": {"source": "gsm8k"}, "train": {"group_size": 2}}, "other too: train.group_size, train."),
    ],
)
def test_other_settings_are_refused(settings, message, tmp_path):
    write(tmp_path, "grpo-0")
    with pytest.raises(ConfigError) as caught:
        check(tmp_path, settings)
    assert message in str(caught.value)


def test_what_is_no_sweep_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="file is a file; choose another --out"):
        check(tmp_path / "file")
    with pytest.raises(ConfigError, match="is not empty; add --resume"):
        check(tmp_path, resume=False)
    with pytest.raises(ConfigError, match=r"is no sweep: it has file and no sweep\.json"):
        check(tmp_path)
    (tmp_path / "config.toml").touch()
    with pytest.raises(ConfigError, match="is the directory of a single run"):
        check(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is damaged; delete it"),
        ("[]", "is damaged"),
        ("[" * 100_000, "is damaged"),
        ('{"version": 1, "settings": {}, "runs": [1]}', "is damaged"),
        ('{"version": 1, "settings": [], "runs": []}', "is damaged"),
        ('{"version": 2}', "was written by a newer version of rekindle"),
    ],
)
def test_a_file_that_cannot_be_read(content, message, tmp_path):
    (tmp_path / "sweep.json").write_text(content)
    with pytest.raises(ConfigError, match=message):
        check(tmp_path)


def test_one_process_at_a_time(tmp_path):
    with (
        locked_sweep(tmp_path / "sweep", print),
        pytest.raises(ConfigError, match="another process makes the sweep"),
        locked_sweep(tmp_path / "sweep", print),
    ):
        pass
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be written"), locked_sweep(tmp_path / "file", print):
        pass


def test_the_workers_of_a_killed_sweep_are_waited_for(tmp_path, monkeypatch):
    said = []
    with (tmp_path / ".workers.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        monkeypatch.setattr("rekindle.locking.time.sleep", lambda _: fcntl.flock(held, fcntl.LOCK_UN))
        with locked_sweep(tmp_path, said.append):
            pass
    assert said == ["waiting for the processes of the sweep that was stopped, which finish their step ..."]
