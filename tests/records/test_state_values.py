"""The values of ``state.json``: what is refused although its digest is right, and what a digest finds."""

import copy
import json
from typing import Any

import pytest

from rekindle.records.run_state import fault_of_values, read_values, write_values

GOOD = {
    "trainer": {"updates": 4},
    "state": {
        "version": 4,
        "without_signal": 0,
        "totals": {"rollouts": 128, "seconds": 1.5},
        "starvation": {},
        "supply": {},
        "kernels": {},
        "scheduler": {"version": 4, "next_step": 6, "next_request": 33, "stopped": None, "cohorts": []},
    },
}


def changed(path, value):
    values = copy.deepcopy(GOOD)
    *outer, key = path.split(".")
    table: Any = values
    for one in outer:
        table = table[one]
    if value is KeyError:
        del table[key]
    else:
        table[key] = value
    return values


def test_what_was_written_comes_back_and_has_no_fault(tmp_path):
    write_values(tmp_path, GOOD)
    assert {key: read_values(tmp_path)[key] for key in GOOD} == GOOD
    assert fault_of_values(tmp_path, 4) is None


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("trainer.updates", "x"), ("trainer.updates", 1.5), ("trainer", {}), ("trainer", KeyError),
        ("state", []), ("state.version", -5), ("state.version", 10**400), ("state.version", True),
        ("state.version", 5), ("state.version", KeyError), ("state.without_signal", None), ("state.totals", "x"),
        ("state.totals", KeyError), ("state.totals", {"rollouts": "many"}), ("state.totals", {"rollouts": -1}),
        ("state.kernels", []), ("state.kernels", KeyError), ("state.scheduler", KeyError), ("state.scheduler", 3),
        ("state.scheduler.version", 3), ("state.scheduler.next_request", -1), ("state.scheduler.cohorts", {}),
        ("state.scheduler.cohorts", [1]), ("state.scheduler.stopped", 3), ("state.starvation", 0),
    ],
)  # fmt: skip
def test_values_that_were_never_right_are_named(path, value, tmp_path):
    write_values(tmp_path, changed(path, value))
    fault = fault_of_values(tmp_path, 4)
    assert fault is not None
    assert fault.startswith("state.json")
    assert len(fault) < 300


@pytest.mark.parametrize("number", ["1e999", "-1e999", "NaN", "Infinity", "-Infinity"])
def test_numbers_that_are_not_finite_are_no_state(number, tmp_path):
    write_values(tmp_path, GOOD)
    path = tmp_path / "state.json"
    path.write_text(path.read_text().replace('"seconds": 1.5', f'"seconds": {number}'))
    assert fault_of_values(tmp_path, 4) == f"state.json: the number {number} is not finite"


@pytest.mark.parametrize("text", ["", "[]", "null", "3", "[" * 100_000, "\x00", "{", '{"a": 1}'])
def test_what_is_no_table_of_values_is_named(text, tmp_path):
    (tmp_path / "state.json").write_text(text)
    fault = fault_of_values(tmp_path, 4)
    assert fault is not None
    assert fault.startswith("state.json: ")


def test_a_value_that_changed_after_it_was_written_is_found_by_the_digest(tmp_path):
    write_values(tmp_path, GOOD)
    path = tmp_path / "state.json"
    path.write_text(path.read_text().replace('"next_request": 33', '"next_request": 34'))
    assert fault_of_values(tmp_path, 4) == "state.json has other contents than were written"


def test_a_state_of_an_earlier_version_has_no_digest(tmp_path):
    (tmp_path / "state.json").write_text(json.dumps({"format": 1, **GOOD}))
    assert fault_of_values(tmp_path, 4) is None
