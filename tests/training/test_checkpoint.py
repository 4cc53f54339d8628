import numpy as np
import pytest
import torch

from rekindle.records.digests import fault_of
from rekindle.training.checkpoint import CheckpointError, Checkpoints
from rekindle.warm_starts.tiny_model import build_tiny


@pytest.fixture(scope="module")
def policy():
    return build_tiny(layers=1, hidden_size=16, heads=2, kv_heads=2)


TRAINER = {"tensors": {"exp_avg/a": torch.arange(3.0)}, "values": {"updates": 7}}


def checkpoints(tmp_path, keep=2):
    found = Checkpoints(tmp_path / "checkpoints", keep)
    found.prepare()
    return found


def test_everything_comes_back_with_its_types(policy, tmp_path):
    state = {
        "version": 3,
        "totals": {"rollouts": 10, "seconds": 0.1 + 0.2},
        "scheduler": {"history": {"weight": np.array([1, 0.5], np.float32), "visits": np.array([3, 4], np.uint32)}},
        "nothing": None,
        "list": [1, "two", {"three": 3.0}],
    }
    saved = checkpoints(tmp_path)
    saved.save(5, policy, TRAINER, state)
    trainer, loaded = saved.load(5)
    assert trainer["values"] == {"updates": 7}
    assert torch.equal(trainer["tensors"]["exp_avg/a"], torch.arange(3.0))
    history = loaded["scheduler"].pop("history")
    assert {key: value for key, value in loaded.items() if key != "scheduler"} == {
        key: value for key, value in state.items() if key != "scheduler"
    }
    assert history["weight"].dtype == np.float32
    assert history["visits"].dtype == np.uint32
    assert history["visits"].tolist() == [3, 4]


def test_half_written_checkpoints_are_not_seen_and_are_swept_at_the_next_start(policy, tmp_path):
    saved = checkpoints(tmp_path)
    saved.save(5, policy, TRAINER, {})
    (tmp_path / "checkpoints" / ".step-9").mkdir()
    assert saved.steps() == [5]
    saved.prepare()
    assert not (tmp_path / "checkpoints" / ".step-9").exists()


def test_only_the_newest_are_kept_in_the_order_of_numbers(policy, tmp_path):
    saved = checkpoints(tmp_path, keep=2)
    for step in (8, 9, 10, 100):
        saved.save(step, policy, TRAINER, {})
    assert saved.steps() == [10, 100]


def test_a_step_that_is_saved_already_is_left_as_it_is(policy, tmp_path):
    saved = checkpoints(tmp_path, keep=1)
    saved.save(5, policy, TRAINER, {"value": 1})
    files = {path: path.stat().st_mtime_ns for path in saved.path(5).rglob("*")}
    saved.save(5, policy, TRAINER, {"value": 2})
    assert saved.load(5)[1] == {"value": 1}
    assert {path: path.stat().st_mtime_ns for path in saved.path(5).rglob("*")} == files


def test_a_checkpoint_that_was_left_behind_is_replaced_and_goes_when_the_new_one_is_there(policy, tmp_path):
    checkpoints(tmp_path).save(5, policy, TRAINER, {"value": 1})
    again = checkpoints(tmp_path)
    again.save(5, policy, TRAINER, {"value": 2})
    assert again.load(5)[1] == {"value": 2}
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-5"]


def test_later_checkpoints_than_the_one_to_go_on_from_are_set_aside_until_they_are_made_again(policy, tmp_path):
    saved = checkpoints(tmp_path, keep=1)
    for step in (4, 5):
        checkpoints(tmp_path, keep=9).save(step, policy, TRAINER, {})
    saved.prepare(4)
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["damaged-step-5", "step-4"]
    saved.save(5, policy, TRAINER, {})
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-5"]


def test_a_deletion_that_was_killed_is_made_up_for(policy, tmp_path):
    for step in (3, 4, 5):
        checkpoints(tmp_path, keep=9).save(step, policy, TRAINER, {})
    (tmp_path / "checkpoints" / ".step-2-old").mkdir()
    checkpoints(tmp_path, keep=1).prepare(5)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-5"]


def test_the_last_two_have_a_state_of_the_optimizer_and_there_is_never_more_of_it_while_one_is_written(
    policy, tmp_path, monkeypatch
):
    saved, found = checkpoints(tmp_path, keep=3), []
    write = Checkpoints._write

    def counted(*arguments):
        write(*arguments)
        found.append(len(list((tmp_path / "checkpoints").rglob("optimizer.safetensors"))))

    monkeypatch.setattr(Checkpoints, "_write", staticmethod(counted))
    for step in (1, 2, 3, 4):
        saved.save(step, policy, TRAINER, {})
    assert found == [1, 2, 2, 2]
    assert [(saved.path(step) / "optimizer.safetensors").exists() for step in saved.steps()] == [False, True, True]


@pytest.mark.parametrize("fails_at", ["write", "digests", "rename"])
def test_no_whole_checkpoint_goes_before_the_next_one_is_in_place(policy, tmp_path, monkeypatch, fails_at):
    saved = checkpoints(tmp_path, keep=1)
    saved.save(4, policy, TRAINER, {"value": 4})

    def fail(*_, **__):
        raise OSError("no space")

    if fails_at == "write":
        monkeypatch.setattr(Checkpoints, "_write", staticmethod(fail))
    elif fails_at == "digests":
        monkeypatch.setattr("rekindle.training.checkpoint.write_digests", fail)
    else:
        monkeypatch.setattr("pathlib.Path.rename", fail)
    with pytest.raises(CheckpointError, match="the last complete one is step 4"):
        saved.save(5, policy, TRAINER, {})
    assert fault_of(saved.path(4)) is None
    assert saved.load(4)[1] == {"value": 4}


@pytest.mark.parametrize("name", ["state.json", "optimizer.safetensors", "scheduler.safetensors"])
@pytest.mark.parametrize("damage", ["missing", "cut", "empty"])
def test_damage_is_one_sentence_with_a_remedy(policy, tmp_path, name, damage):
    saved = checkpoints(tmp_path)
    path = saved.save(5, policy, TRAINER, {"x": {"array": np.ones(3)}}) / name
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(b"" if damage == "empty" else path.read_bytes()[:-5])
    message = r"step-5 (is damaged .*delete it to resume from an earlier|has no state of the optimizer)"
    with pytest.raises(CheckpointError, match=message):
        saved.load(5)


def with_format(path, number):
    path.write_text(path.read_text().replace('"format": 2', f'"format": {number}'))


def test_another_format_is_refused(policy, tmp_path):
    saved = checkpoints(tmp_path)
    with_format(saved.save(5, policy, TRAINER, {}) / "state.json", 3)
    with pytest.raises(CheckpointError, match="checkpoint format 3"):
        saved.load(5)


def test_the_format_before_is_read(policy, tmp_path):
    saved = checkpoints(tmp_path)
    with_format(saved.save(5, policy, TRAINER, {"value": 2}) / "state.json", 1)
    assert saved.load(5)[1] == {"value": 2}
