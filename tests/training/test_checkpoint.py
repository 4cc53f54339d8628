import numpy as np
import pytest
import torch

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


def test_saving_a_step_again_replaces_it(policy, tmp_path):
    saved = checkpoints(tmp_path)
    saved.save(5, policy, TRAINER, {"value": 1})
    saved.save(5, policy, TRAINER, {"value": 2})
    assert saved.load(5)[1] == {"value": 2}


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
