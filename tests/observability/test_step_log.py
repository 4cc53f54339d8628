"""Logs of steps: continued after a crash, taken back on a resume, read line by line."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rekindle.observability.step_log import StepLog, StepLogError, read_step_log


def line(step, number=0):
    return {"step": step, "number": number, "text": "§\n" * number}


def test_several_lines_of_a_step(tmp_path):
    path = tmp_path / "proposals.jsonl"
    with StepLog(path) as log:
        log.extend([line(1), line(1, 1)])
        log.extend([])
        log.extend([line(2)])
        assert list(read_step_log(path)) == [line(1), line(1, 1), line(2)]
    with StepLog(path) as log:
        log.extend([line(3)])
    assert [found["step"] for found in read_step_log(path)] == [1, 1, 2, 3]


def test_no_file_has_no_lines(tmp_path):
    assert list(read_step_log(tmp_path / "none.jsonl")) == []
    with StepLog(tmp_path / "new.jsonl") as log:
        log.truncate_after(0)
    assert list(read_step_log(tmp_path / "new.jsonl")) == []


@given(st.lists(st.integers(0, 3), min_size=1, max_size=6), st.integers(-1, 7), st.integers(0, 400))
@settings(max_examples=60, deadline=None)
def test_what_is_left_of_a_log_cut_anywhere_and_taken_back_to_any_step(tmp_path_factory, counts, last, cut):
    """``counts[i]`` lines of step i + 1, of which the file lost all but its first ``cut`` bytes."""
    path = tmp_path_factory.mktemp("log") / "log.jsonl"
    lines = [line(step, number) for step, count in enumerate(counts, start=1) for number in range(count)]
    with StepLog(path) as log:
        log.extend(lines)
    path.write_bytes(path.read_bytes()[:cut])
    kept = list(read_step_log(path))
    assert kept == lines[: len(kept)]
    with StepLog(path) as log:
        assert list(read_step_log(path)) == kept
        log.truncate_after(last)
        assert list(read_step_log(path)) == [one for one in kept if one["step"] <= last]
        log.extend([line(9)])
    assert list(read_step_log(path))[-1] == line(9)


def test_a_broken_line_is_named_when_reading_and_when_truncating(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 1}\n{"no": 2}\n{"step": 3}\n')
    with pytest.raises(StepLogError, match=r"log\.jsonl, line 2: not a JSON object"):
        list(read_step_log(path))
    with StepLog(path) as log:
        log.truncate_after(3)
        with pytest.raises(StepLogError, match="line 2"):
            log.truncate_after(2)
    assert path.read_text().count("\n") == 3


def test_lines_are_read_when_they_are_asked_for(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text(json.dumps(line(1)) + "\nbroken\n")
    assert next(read_step_log(path)) == line(1)


def test_not_a_number_is_not_written(tmp_path):
    with StepLog(tmp_path / "log.jsonl") as log, pytest.raises(ValueError, match="Out of range"):
        log.extend([{"step": 1, "similarity": float("nan")}])
    assert list(read_step_log(tmp_path / "log.jsonl")) == []
