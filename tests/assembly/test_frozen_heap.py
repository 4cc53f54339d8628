"""What a run does to the garbage collector of its process."""

import gc
import subprocess
import sys

from rekindle.assembly.run import _frozen_heap

PROGRAM = """
import gc
from rekindle.assembly.run import _frozen_heap

print(gc.get_freeze_count())
with _frozen_heap():
    print(gc.get_freeze_count())
print(gc.get_freeze_count())
"""


def test_objects_are_frozen_during_a_run_alone():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, check=True)
    before, during, after = map(int, done.stdout.split())
    assert before == after == 0
    assert during > 10_000


def test_what_the_process_froze_itself_stays_frozen():
    before = gc.get_freeze_count()
    assert before > 10_000, "conftest freezes the tests and all that they import"
    with _frozen_heap():
        assert gc.get_freeze_count() == before
    assert gc.get_freeze_count() == before
