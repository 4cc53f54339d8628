"""What a run on verl goes on from: checkpoints that are whole, not whole, or not there."""

from types import SimpleNamespace

import pytest

from rekindle.integrations.state_folder import write_state
from rekindle.integrations.verl.resuming import (
    check_checkpoints,
    load_state,
    save_state,
    told_requests,
    validates_first,
)
from rekindle.types import UserError

NEWEST = "latest_checkpointed_iteration.txt"


def trainer(directory, mode="auto", path=None):
    return SimpleNamespace(default_local_dir=str(directory), resume_mode=mode, resume_from_path=path)


def checkpoint(directory, step, *, ours=True, model=True):
    folder = directory / f"global_step_{step}"
    folder.mkdir(parents=True, exist_ok=True)
    if ours:
        save_state(trainer(directory), step, {"step": step})
    if model:
        (folder / "actor").mkdir()
    return folder


def run(directory):
    (directory / "rekindle").mkdir(parents=True)
    (directory / "rekindle" / "config.toml").touch()


def newest(directory, text):
    (directory / NEWEST).write_text(text)


def test_the_named_checkpoint_is_whole(tmp_path):
    checkpoint(tmp_path, 2)
    checkpoint(tmp_path, 4, model=False)  # killed before verl wrote its part
    newest(tmp_path, "2")
    check_checkpoints(trainer(tmp_path))
    assert (tmp_path / NEWEST).read_text() == "2"
    assert load_state(trainer(tmp_path), 2) == {"step": 2}


@pytest.mark.parametrize("text", ["", "\n", "1x"])
def test_a_number_that_was_cut_off_is_written_anew(tmp_path, text):
    for step in (2, 10):
        checkpoint(tmp_path, step)
    checkpoint(tmp_path, 12, ours=False)
    newest(tmp_path, text)
    check_checkpoints(trainer(tmp_path))
    assert (tmp_path / NEWEST).read_text() == "10"


def test_no_checkpoint_was_finished_yet(tmp_path):
    run(tmp_path)
    checkpoint(tmp_path, 2)
    check_checkpoints(trainer(tmp_path))
    check_checkpoints(trainer(tmp_path, "disable"))


def test_a_run_that_begins_does_not_replace_one_with_checkpoints(tmp_path):
    run(tmp_path)
    checkpoint(tmp_path, 2)
    newest(tmp_path, "2")
    with pytest.raises(
        UserError, match=r"would replace; go on with it \(trainer.resume_mode=auto\), or choose another"
    ):
        check_checkpoints(trainer(tmp_path, "disable"))


def test_the_named_checkpoint_is_gone(tmp_path):
    newest(tmp_path, "4")
    with pytest.raises(UserError, match=r"there is no checkpoint .*global_step_4; restore it, name another one"):
        check_checkpoints(trainer(tmp_path))


def test_a_cut_off_number_without_a_checkpoint(tmp_path):
    newest(tmp_path, "")
    with pytest.raises(UserError, match=r"names no checkpoint, .*; remove the file to begin the run again"):
        check_checkpoints(trainer(tmp_path))


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"ours": False}, r"has no state of rekindle \(rekindle/state.json\)"),
        ({"model": False}, r"has no model \(actor\), because verl has removed it"),
    ],
)
def test_a_checkpoint_that_is_not_whole(tmp_path, given, wanted):
    folder = checkpoint(tmp_path, 4, **given)
    newest(tmp_path, "4")
    for one in (trainer(tmp_path), trainer(tmp_path / "other", "resume_path", str(folder))):
        with pytest.raises(UserError, match=wanted):
            check_checkpoints(one)


def test_a_path_that_is_no_checkpoint(tmp_path):
    for path in (str(tmp_path), None):
        with pytest.raises(
            UserError, match=r"trainer.resume_from_path=.* is no checkpoint; give a folder global_step_N"
        ):
            check_checkpoints(trainer(tmp_path, "resume_path", path))


def test_a_state_that_was_half_written_is_not_there(tmp_path):
    folder = checkpoint(tmp_path, 4, ours=False)
    write_state(folder / "rekindle", {"step": 4})
    (folder / "rekindle").rename(folder / ".rekindle")  # killed before it had its name
    newest(tmp_path, "4")
    with pytest.raises(UserError, match="has no state of rekindle"):
        check_checkpoints(trainer(tmp_path))
    save_state(trainer(tmp_path), 4, {"step": 4})
    assert load_state(trainer(tmp_path), 4) == {"step": 4}
    assert not (folder / ".rekindle").exists()


def test_a_run_that_begins_has_no_state(tmp_path):
    assert load_state(trainer(tmp_path), 0) is None


def test_finished_groups_of_further_steps_stay_with_verl():
    group = {"request": {"id": 3}, "topped_up": [{"id": 5}]}
    unfinished = {"request": {"id": 4}, "topped_up": []}
    cohort = {"groups": [group], "unfinished": [unfinished], "records": [{"request": {"id": 6}}], "again": [{"id": 7}]}
    assert told_requests({"scheduler": {"cohorts": [cohort]}}) == {3, 4, 5, 6}


@pytest.mark.parametrize(
    ("told", "every", "step", "resumed", "wanted"),
    [
        (False, 2, 4, True, True),
        (False, 2, 3, True, False),
        (False, 2, 0, False, False),
        (False, -1, 4, True, False),
        (True, -1, 4, True, True),
    ],
)
def test_a_validation_that_a_kill_left_out_is_made(told, every, step, resumed, wanted):
    trainer = DictLike(test_freq=every, val_before_train=told)
    assert validates_first(trainer, step, resumed=resumed) is wanted


class DictLike(SimpleNamespace):
    """A table of verl's configuration."""

    def get(self, name, default=None):
        return getattr(self, name, default)
