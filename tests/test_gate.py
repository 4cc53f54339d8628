"""What the fast tests (``make test``) keep of every room: a test is slow only where a fast one checks the same part."""

from collections import Counter
from pathlib import Path

import pytest

from fast import COLLECTED, ELSEWHERE, OF_THEIR_OWN, has

TESTS = Path(__file__).parent
LEAST_SHARE = {"chaos": 1 / 3}
"""Of a room's tests that must be fast; of most rooms half. ``make chaos`` is the long form of tests/chaos."""
ALWAYS_FAST = [
    *(f"test_every_recipe_trains_conserves_and_resumes_bit_for_bit[{recipe}]" for recipe in OF_THEIR_OWN),
    "test_self_play.py::test_it_conserves_and_resumes_bit_for_bit[",
    "test_search_agent.py::test_a_search_agent_resumes_bit_for_bit[",
    "test_loop.py::test_kill_9_in_mid_run_then_resume_equals_the_uninterrupted_run[before an update]",
    "test_report_browser.py::test_it_opens_without_complaints",
    "test_serve_retriever.py::",
    "test_server.py::",
    "test_judge.py::",
    "test_workers.py::",
    "test_docs.py::",
    "test_minimal_recycling.py::",
]
"""Ends, or parts, of the names of tests: the promises, and each real component once."""


@pytest.fixture
def collected(request):
    """(Name, whether slow) of every test, where all were asked for."""
    asked = [(request.config.invocation_params.dir / place).resolve() for place in request.config.args]
    if asked != [TESTS] or request.config.option.keyword:
        pytest.skip("only some of the tests were asked for")
    return request.config.stash[COLLECTED]


def test_every_room_keeps_its_tests(collected):
    everything, fast = Counter(), Counter()
    for name, slow in collected:
        room = name.split("/")[1].split("::")[0]
        everything[room] += 1
        fast[room] += not slow
    rooms = {path.name for path in TESTS.iterdir() if path.is_dir() and any(path.glob("test_*.py"))}
    rooms -= {room for room in ELSEWHERE if not has(room)}
    assert rooms <= set(everything)
    assert not [room for room in rooms if fast[room] < LEAST_SHARE.get(room, 0.5) * everything[room]]


def test_promises_and_real_components_are_tested_every_time(collected):
    fast = [name for name, slow in collected if not slow]
    assert not [needed for needed in ALWAYS_FAST if not any(needed in name for name in fast)]
