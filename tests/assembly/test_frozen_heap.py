"""What a run does to the garbage collector of its process."""

import gc

from rekindle.assembly.run import _frozen_heap


def test_objects_are_frozen_during_a_run_alone():
    gc.unfreeze()
    try:
        with _frozen_heap():
            assert gc.get_freeze_count() > 10_000
        assert gc.get_freeze_count() == 0
    finally:
        gc.freeze()


def test_what_the_process_froze_itself_stays_frozen():
    before = gc.get_freeze_count()
    assert before > 10_000, "conftest freezes the tests and all that they import"
    with _frozen_heap():
        assert gc.get_freeze_count() == before
    assert gc.get_freeze_count() == before
