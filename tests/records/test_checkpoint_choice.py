"""Which checkpoint a run goes on from, and whose weights other commands read."""

import pytest

from rekindle.notices import RekindleWarning
from rekindle.records.checkpoint_choice import NoWholeCheckpointError, model_directory, newest_whole
from rekindle.records.digests import write_digests
from rekindle.records.run_state import write_values

STATE = {
    "trainer": {"updates": 1},
    "state": {
        "version": 1,
        "without_signal": 0,
        "totals": {},
        "starvation": {},
        "supply": {},
        "kernels": {},
        "scheduler": {"version": 1, "next_step": 2, "next_request": 3, "stopped": None, "cohorts": []},
    },
}


@pytest.fixture
def run(tmp_path):
    for step in (0, 2, 4, 6):
        place = tmp_path / "checkpoints" / f"step-{step}"
        (place / "model").mkdir(parents=True)
        (place / "model" / "weights").write_text(str(step))
        for name in ("optimizer.safetensors", "scheduler.safetensors"):
            (place / name).write_text(name)
        write_values(place, STATE)
        write_digests(place, without=("state.json",))
    return tmp_path


def at(run, step):
    return run / "checkpoints" / f"step-{step}"


def test_the_newest_whole_one_is_chosen_without_a_word(run, recwarn):
    assert newest_whole(run) == at(run, 6)
    assert model_directory(run) == at(run, 6) / "model"
    assert not list(recwarn)


def test_damaged_ones_are_named_and_what_is_repeated_is_said(run):
    (at(run, 6) / "optimizer.safetensors").write_text("other")
    (at(run, 4) / "optimizer.safetensors").unlink()
    with pytest.warns(RekindleWarning) as caught:
        assert newest_whole(run) == at(run, 2)
    said = str(caught[0].message)
    assert "step-4: it has no state of the optimizer" in said
    assert "step-6: optimizer.safetensors has other contents than were written" in said
    assert said.endswith("; the run goes on from step 2, and steps 3 to 6 are repeated")


def test_a_single_step_is_repeated(run):
    at(run, 6).rename(at(run, 5))
    (at(run, 5) / "scheduler.safetensors").unlink()
    with pytest.warns(RekindleWarning, match="from step 4, and step 5 is repeated"):
        assert newest_whole(run) == at(run, 4)


def test_without_a_whole_one_the_run_does_not_go_on_and_a_whole_model_is_named(run):
    for step in (2, 4, 6):
        (at(run, step) / "optimizer.safetensors").write_text("other")
    (at(run, 6) / "model" / "weights").write_text("other")
    with pytest.raises(NoWholeCheckpointError, match=r"step-6 is damaged, .*model.path = .*step-4/model\" and another"):
        newest_whole(run)


def test_a_checkpoint_of_the_first_evaluation_is_none_to_go_on_from(run):
    for step in (2, 4, 6):
        at(run, step).rename(run / f"elsewhere-{step}")
    assert newest_whole(run) is None


def test_other_commands_read_the_newest_whole_weights(run):
    (at(run, 6) / "model" / "weights").write_text("other")
    (at(run, 4) / "optimizer.safetensors").unlink()
    with pytest.warns(RekindleWarning, match="step-6: model/weights has other contents .* the weights of .*step-4 are"):
        assert model_directory(run) == at(run, 4) / "model"


def test_a_damaged_checkpoint_that_was_named_is_refused(run):
    (at(run, 6) / "model" / "weights").write_text("other")
    with pytest.raises(NoWholeCheckpointError, match="restore the file from a copy, or choose another checkpoint"):
        model_directory(at(run, 6))
    assert model_directory(at(run, 4)) == at(run, 4) / "model"
