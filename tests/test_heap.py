"""Exclusion of objects from garbage collection."""

import gc
import subprocess
import sys

import pytest

from rekindle.heap import frozen_heap


def test_objects_are_frozen_during_a_run_alone():
    gc.unfreeze()
    try:
        with frozen_heap():
            assert gc.get_freeze_count() > 10_000
        assert gc.get_freeze_count() == 0
    finally:
        gc.freeze()


def test_what_the_process_froze_itself_stays_frozen():
    before = gc.get_freeze_count()
    assert before > 10_000, "conftest freezes the tests and all that they import"
    with frozen_heap():
        assert gc.get_freeze_count() == before
    assert gc.get_freeze_count() == before


def test_nested_contexts_add_what_was_made_since_and_the_outermost_ends_it():
    gc.unfreeze()
    try:
        with frozen_heap():
            outer = gc.get_freeze_count()
            made = [[] for _ in range(10_000)]
            with frozen_heap():
                assert gc.get_freeze_count() > outer + len(made) // 2, "some of what was frozen before may be gone"
            assert gc.get_freeze_count() > outer, "the inner context ends nothing"
        assert gc.get_freeze_count() == 0
    finally:
        gc.freeze()


def test_nothing_is_collected_while_the_objects_are_made_and_also_after_a_failure_it_is_again():
    gc.unfreeze()
    seen = []
    try:
        with frozen_heap(lambda: seen.append(gc.isenabled())):
            assert gc.isenabled()
        with pytest.raises(ZeroDivisionError), frozen_heap(lambda: 1 / 0):
            pass
        assert seen == [False]
        assert gc.isenabled()
        assert gc.get_freeze_count() == 0
    finally:
        gc.freeze()


def test_a_command_that_ends_runs_exit_handlers_and_finalizers_and_collects_nothing():
    script = """
import atexit, gc, sys, weakref
import rekindle.cli as cli
class Kept: pass
one = Kept()
weakref.finalize(one, print, "finalized")
atexit.register(lambda: print("exit handler; collects:", gc.isenabled()))
sys.argv = ["rekindle", "recipes"]
cli.entry()
"""
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-2:] == ["exit handler; collects: False", "finalized"]
