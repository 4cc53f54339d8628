"""A run directory on resume: stray, incomplete and damaged things in it, and settings that changed."""

import json

import pytest

from rekindle.config import Config, ConfigError, dump_toml
from rekindle.notices import RekindleWarning
from rekindle.records.checkpoint_choice import checkpoint_steps, last_checkpoint
from rekindle.records.run_directory import check
from rekindle.training.checkpoint import CheckpointError, Checkpoints

BASE = {"train": {"steps": 4}, "task": {"source": "jsonl", "path": "a.jsonl"}, "model": {"path": "m"}}


@pytest.fixture
def run(tmp_path):
    (tmp_path / "config.toml").write_text(dump_toml(Config.model_validate(BASE)))
    checkpoint(tmp_path, "step-2")
    return tmp_path


def checkpoint(run, name, state="{}"):
    directory = run / "checkpoints" / name
    (directory / "model").mkdir(parents=True)
    (directory / "state.json").write_text(state)
    return directory


def changed(**tables):
    return Config.model_validate({table: BASE.get(table, {}) | tables.get(table, {}) for table in {*BASE, *tables}})


@pytest.mark.parametrize(
    "name", ["step-2-backup", "step-9.old", "step-", "step-x", "step-03", "step--1", "step-３", "best"]
)
def test_other_names_are_left_alone(run, name, recwarn):
    checkpoint(run, name)
    assert checkpoint_steps(run / "checkpoints") == [2]
    check(changed(), run, resume=True)
    assert not list(recwarn)


def test_a_file_and_incomplete_checkpoints_are_not_used_and_said(run):
    (run / "checkpoints" / "step-7").write_text("a file")
    checkpoint(run, "step-4").joinpath("state.json").unlink()
    checkpoint(run, "step-5").joinpath("model").rmdir()
    with pytest.warns(RekindleWarning) as caught:
        check(changed(), run, resume=True)
    assert [str(one.message).split(" is no")[0].rpartition("/")[2] for one in caught] == ["step-4", "step-5", "step-7"]
    last = last_checkpoint(run)
    assert last is not None
    assert last.name == "step-2"


def test_a_run_that_lost_its_checkpoints_says_that_it_begins_again(tmp_path):
    (tmp_path / "config.toml").write_text(dump_toml(Config.model_validate(BASE)))
    (tmp_path / "metrics.jsonl").write_text("{}")
    with pytest.warns(RekindleWarning, match="has no checkpoint, so its run begins again at step 0"):
        check(changed(), tmp_path, resume=True)


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"train": {"group_size": 8}}, r"train.group_size = 8 differs from 4 in .*config.toml; a run resumes with"),
        (
            {"train": {"group_size": 8, "seed": 3}, "eval": {"prompts": 3}},
            r"train.group_size = 8 differs from 4 in .*config.toml, and so do |train.seed = 3 differs",
        ),
        ({"model": {"path": "n"}}, "model.path = 'n' differs from 'm'"),
    ],
)
def test_settings_that_changed_are_named(run, tables, message):
    with pytest.raises(ConfigError, match=message):
        check(changed(**tables), run, resume=True)


@pytest.mark.parametrize(
    "tables",
    [{"train": {"steps": 9}}, {"train": {"tokens": 99}}, {"checkpoint": {"keep": 9}}, {"task": {"path": "b.jsonl"}}],
)
def test_the_end_of_a_run_and_the_places_of_files_may_change(run, tables):
    check(changed(**tables), run, resume=True)


def test_a_file_is_no_run_directory(tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(ConfigError, match="run is a file; choose another --out"):
        check(changed(), tmp_path / "run", resume=False)


@pytest.mark.parametrize(
    "state",
    ["", "{}", "[]", "3", '{"format": 1}', '{"format": 1, "trainer": 3, "state": []}', "[" * 100_000, "\x00",
     '{"format": 1' + "0" * 5000 + "}"],
    ids=range(9),
)  # fmt: skip
def test_a_damaged_state_is_one_sentence(run, state):
    (run / "checkpoints" / "step-2" / "state.json").write_text(state)
    with pytest.raises(
        CheckpointError, match=r"step-2 (is damaged \(.*\); delete it|has checkpoint format|has no state of)"
    ):
        Checkpoints(run / "checkpoints", 2).load(2)


def test_arrays_that_the_state_has_no_place_for_are_damage(run):
    import numpy as np
    from safetensors.numpy import save_file

    directory = run / "checkpoints" / "step-2"
    (directory / "state.json").write_text(json.dumps({"format": 1, "trainer": {}, "state": {"a": 1}}))
    save_file({}, directory / "optimizer.safetensors")
    save_file({"a.b": np.zeros(2)}, directory / "scheduler.safetensors")
    with pytest.raises(CheckpointError, match="step-2 is damaged"):
        Checkpoints(run / "checkpoints", 2).load(2)
