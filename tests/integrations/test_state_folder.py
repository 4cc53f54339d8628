"""State in the checkpoint of another trainer: formats that are read, and arrays beside JSON."""

import json

import numpy as np
import pytest

from rekindle.integrations.state_folder import read_state, state_file, write_state
from rekindle.types import UserError

STATE = {"step": 3, "history": {"visits": np.arange(3)}}


def with_format(folder, number):
    path = state_file(folder)
    path.write_text(path.read_text().replace('"format": 2', f'"format": {number}', 1))


@pytest.mark.parametrize("number", [1, 2])
def test_this_format_and_the_one_before_are_read(number, tmp_path):
    folder = tmp_path / "rekindle"
    write_state(folder, STATE)
    with_format(folder, number)
    found = read_state(folder)
    assert found["step"] == 3
    assert found["history"]["visits"].tolist() == [0, 1, 2]


def test_a_later_format_is_refused_in_a_sentence(tmp_path):
    folder = tmp_path / "rekindle"
    write_state(folder, STATE)
    with_format(folder, 3)
    with pytest.raises(UserError, match=r"has format 3, and this rekindle reads formats up to 2; resume with the vers"):
        read_state(folder)


def test_arrays_are_no_json(tmp_path):
    folder = tmp_path / "rekindle"
    write_state(folder, STATE)
    assert json.loads(state_file(folder).read_text())["state"] == {"step": 3, "history": {}}
