import pytest

from rekindle.scheduling.history import History, TaskIds
from rekindle.types import Outcome


def test_ids_of_any_length_and_script_come_back():
    names = ["", "a", "gsm8k/17", "名前", "x" * 1000, *map(str, range(100_000))]
    ids = TaskIds(names)
    assert len(ids) == len(names)
    assert [ids[row] for row in (0, 1, 2, 3, 4, 5, 65_541, len(names) - 1)] == [
        *names[:6],
        names[65_541],
        names[-1],
    ]


def test_record_keeps_first_and_last_outcome_and_streaks():
    history = History(["a", "b"])
    visits = [(Outcome.ALL_WRONG, 0), (Outcome.ALL_WRONG, 0), (Outcome.MIXED, 1), (Outcome.ALL_CORRECT, 4)]
    streaks = []
    for version, (outcome, successes) in enumerate(visits):
        history.record(1, outcome, successes=successes, n=4, temperature=1.5, version=version)
        streaks.append((int(history.wrong_streak[1]), int(history.correct_streak[1])))
    assert streaks == [(1, 0), (2, 0), (0, 0), (0, 1)]
    assert history.first_outcome(1) is Outcome.ALL_WRONG
    assert history.last_outcome(1) is Outcome.ALL_CORRECT
    columns = (history.visits, history.attempts, history.successes, history.beta_successes, history.beta_failures)
    assert [float(column[1]) for column in columns] == [4, 16, 5, 5, 11]
    assert (float(history.temperature[1]), int(history.last_version[1])) == (1.5, 3)
    assert history.first_outcome(0) is None
    assert int(history.visits[0]) == 0


def test_a_streak_stops_counting_instead_of_wrapping_to_zero():
    history = History(["a"])
    history.correct_streak[0] = 65_535
    history.record(0, Outcome.ALL_CORRECT, successes=4, n=4, temperature=1.0, version=0)
    assert int(history.correct_streak[0]) == 65_535


def test_state_of_other_prompts_is_refused_with_the_remedy():
    with pytest.raises(ValueError, match=r"other prompts.*resume with the task table"):
        History(["a", "b"]).load_state_dict(History(["a", "c"]).state_dict())


def test_no_prompts_is_an_error():
    with pytest.raises(ValueError, match="no prompts"):
        History([])
