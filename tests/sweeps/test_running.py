"""Who makes which run when, with workers that only pretend."""

import os
import signal
from pathlib import Path
from typing import ClassVar

import pytest

from rekindle.recipes import RECIPES
from rekindle.sweeps import running
from rekindle.sweeps.runs import SweepRun
from rekindle.sweeps.status import State, Status

PROGRESS = {"event": "progress", "step": 1, "done": 0.5, "seconds": 3.0, "accuracy": 0.25}


def ended(ending="done", why="", *, leaves=False):
    return {"event": "ended", "ending": ending, "why": why, "leaves": leaves}


def dead(code):
    return {"event": "dead", "code": code}


class Pretender:
    """A worker whose events, by run, are known beforehand."""

    made: ClassVar[list["Pretender"]] = []
    script: ClassVar[dict[str, list]] = {}

    def __init__(self, first, threads, inherited=()):
        self.read, self.write = os.pipe()
        self.status, self.leaves, self.closed, self.interrupted = None, False, False, 0
        self.given, self.pending = [], []
        Pretender.made.append(self)

    @property
    def is_free(self):
        return self.status is None and not self.leaves

    def fileno(self):
        return self.read

    def give(self, status):
        self.status = status
        self.given.append(status.run.name)
        self.will(self.script.get(status.run.name, [PROGRESS, ended()]))

    def will(self, events):
        self.pending += events
        os.write(self.write, b"." * len(events))

    def events(self):
        os.read(self.read, 1)
        yield self.pending.pop(0)

    def interrupt(self):
        self.interrupted += 1
        self.will([ended("interrupted")])

    def close(self, patience):
        if not self.closed:
            self.closed = True
            os.close(self.read)
            os.close(self.write)


class Notes:
    """A watch that remembers."""

    def __init__(self):
        self.changes, self.steps = [], []

    def changed(self, status):
        self.changes.append((status.run.name, str(status.state)))

    def progressed(self, status):
        self.steps.append((status.run.name, status.step))


@pytest.fixture
def play(monkeypatch):
    """``play({"b": [...]})`` makes the runs a, b and c."""
    monkeypatch.setattr(running, "Worker", Pretender)
    monkeypatch.setattr(Pretender, "made", [])

    def made(script=None, *, jobs=1, before=(), **more):
        monkeypatch.setattr(Pretender, "script", script or {})
        config, notes = RECIPES["grpo"](), Notes()
        runs = [SweepRun(name=name, config=config, directory=Path(name), log=Path("log"), command=()) for name in "abc"]
        statuses = [Status(run, State.DONE if run.name in before else State.WAITING) for run in runs]
        running.run_all(statuses, jobs=jobs, threads=1, watches=[notes], **more)
        assert all(worker.closed for worker in Pretender.made)
        return {one.run.name: one for one in statuses}, notes

    return made


def states(statuses):
    return [str(one.state) for one in statuses.values()]


def given():
    return [worker.given for worker in Pretender.made]


def test_one_worker_makes_one_run_after_the_other(play):
    statuses, notes = play()
    assert given() == [["a", "b", "c"]]
    assert states(statuses) == ["done"] * 3
    assert notes.changes == [(name, state) for name in "abc" for state in ("running", "done")]
    assert notes.steps == [("a", 1), ("b", 1), ("c", 1)]
    assert (statuses["a"].accuracy, statuses["a"].seconds) == (0.25, 3.0)


def test_no_more_workers_than_jobs_and_runs(play):
    play(jobs=2)
    assert sorted(name for names in given() for name in names) == ["a", "b", "c"]
    assert len(given()) == 2
    Pretender.made.clear()
    play(jobs=9)
    assert given() == [["a"], ["b"], ["c"]]


def test_runs_that_have_ended_are_left_alone(play):
    statuses, notes = play(before="ac")
    assert given() == [["b"]]
    assert states(statuses) == ["done"] * 3
    assert len(notes.changes) == 2


def test_a_run_that_fails_leaves_the_worker_to_the_next(play):
    statuses, _ = play({"a": [ended("failed", "no file")], "b": [ended("bound", "no signal")]})
    assert given() == [["a", "b", "c"]]
    assert states(statuses) == ["failed", "bound", "done"]
    assert (statuses["a"].why, statuses["b"].why) == ("no file", "no signal")


@pytest.mark.parametrize(
    ("events", "why"),
    [
        ([PROGRESS, dead(-signal.SIGKILL)], "its process was killed, perhaps for want of memory"),
        ([dead(-signal.SIGSEGV)], "its process was ended by SIGSEGV; its log says more"),
        ([dead(1)], "its process ended with exit code 1; its log says more"),
        ([ended("failed", "RuntimeError", leaves=True), dead(0)], "RuntimeError"),
    ],
)
def test_another_worker_takes_the_place_of_one_that_is_gone(events, why, play):
    statuses, _ = play({"a": events})
    assert given() == [["a"], ["b", "c"]]
    assert states(statuses) == ["failed", "done", "done"]
    assert statuses["a"].why.startswith(why)


def test_an_interruption_lets_runs_stop_and_begins_no_others(play):
    asked = iter([False, True, True, True])
    statuses, _ = play({"a": [PROGRESS], "b": [PROGRESS]}, jobs=2, interrupted=lambda: next(asked, True))
    assert states(statuses) == ["interrupted", "interrupted", "waiting"]
    assert [worker.interrupted for worker in Pretender.made] == [1, 1]


def test_a_second_interruption_stops_them_at_once(play, monkeypatch):
    answers = iter([False, True])

    def interrupted():
        if (answer := next(answers, None)) is None:
            raise KeyboardInterrupt
        return answer

    def deaf(worker):
        worker.interrupted += 1

    monkeypatch.setattr(Pretender, "interrupt", deaf)
    with pytest.raises(KeyboardInterrupt):
        play({"a": []}, interrupted=interrupted)
    (worker,) = Pretender.made
    assert worker.interrupted == 2
    assert worker.closed
