"""`warnings.jsonl`: written at once, by step, cut back by a resume."""

import json
import threading
from datetime import UTC, datetime

import pytest

from rekindle.notices import Notice
from rekindle.observability.step_log import StepLogError
from rekindle.observability.warnings_log import KeptWarning, WarningsLog, read_warnings

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def said(log, text, times):
    for number in range(times):
        log.add(Notice(text), shown=number == 0)


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_new_text_is_on_the_disk_at_once_and_repetitions_at_the_end_of_the_step(tmp_path):
    path = tmp_path / "warnings.jsonl"
    with WarningsLog(path, clock=lambda: NOON) as log:
        assert not path.exists(), "no warnings, no file"
        said(log, "a", 3)
        assert lines(path) == [
            {"step": 0, "time": "2026-01-31T12:00:00+00:00", "source": "rekindle", "text": "a", "count": 1}
        ]
        log.end_step(0)
        log.add(Notice("a"), shown=False)
        log.end_step(1)
        log.end_step(2)
        log.add(Notice("b", "torch"), shown=True)
    assert [(line["step"], line["source"], line["text"], line["count"]) for line in lines(path)] == [
        (0, "rekindle", "a", 1), (0, "rekindle", "a", 2), (1, "rekindle", "a", 1), (3, "torch", "b", 1),
    ]  # fmt: skip
    assert read_warnings(path) == [KeptWarning("a", "rekindle", 4, 0, 1), KeptWarning("b", "torch", 1, 3, 3)]


def test_a_resumed_run_forgets_what_it_will_say_again(tmp_path):
    path = tmp_path / "warnings.jsonl"
    with WarningsLog(path) as log:
        for step in range(1, 6):
            log.end_step(step - 1)
            said(log, f"in step {step}", 2)
    with WarningsLog(path) as log:
        log.truncate_after(3)
        log.end_step(3)
        said(log, "in step 4", 2)
    assert [(one.text, one.count, one.first_step) for one in read_warnings(path)] == [
        ("in step 1", 2, 1), ("in step 2", 2, 2), ("in step 3", 2, 3), ("in step 4", 2, 4),
    ]  # fmt: skip


def test_half_a_line_is_left_out_and_a_broken_one_is_an_error(tmp_path):
    path = tmp_path / "warnings.jsonl"
    with WarningsLog(path) as log:
        said(log, "whole", 1)
    whole = path.read_text()
    path.write_text(whole + whole[:20])
    assert [one.text for one in read_warnings(path)] == ["whole"]
    path.write_text("nonsense\n" + whole)
    with pytest.raises(StepLogError, match="line 1"):
        read_warnings(path)
    assert read_warnings(tmp_path / "none.jsonl") == []


def test_a_warning_of_another_thread_while_a_step_is_written_is_counted(tmp_path, monkeypatch):
    from rekindle.observability.step_log import StepLog

    threads, extend = [], StepLog.extend

    def interrupted(log, written):
        threads.append(threading.Thread(target=warnings.add, args=(Notice("a"),), kwargs={"shown": False}))
        threads[-1].start()
        threads[-1].join(0.05)
        extend(log, written)

    with WarningsLog(tmp_path / "warnings.jsonl") as warnings:
        said(warnings, "a", 2)
        with monkeypatch.context() as patched:
            patched.setattr(StepLog, "extend", interrupted)
            warnings.end_step(1)
        threads[0].join()
    assert [(line["step"], line["count"]) for line in lines(tmp_path / "warnings.jsonl")] == [(0, 1), (0, 1), (2, 1)]
