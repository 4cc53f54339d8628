import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scheduling_cases import history_of, visit

from rekindle.scheduling.belief import Belief
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
        streaks.append([int(column[1]) for column in (history.wrong_streak, history.correct_streak)])
    assert streaks == [[1, 0], [2, 0], [0, 0], [0, 1]]
    assert history.first_outcome(1) is Outcome.ALL_WRONG
    assert history.last_outcome(1) is Outcome.ALL_CORRECT
    columns = (history.visits, history.attempts, history.successes, history.beta_successes, history.beta_failures)
    assert [float(column[1]) for column in columns] == [4, 16, 5, 5, 11]
    assert (float(history.temperature[1]), int(history.last_version[1])) == (1.5, 3)
    assert history.first_outcome(0) is None
    assert int(history.visits[0]) == 0


def test_the_unanimous_streak_counts_visits_without_signal_of_either_kind():
    history = history_of(1)
    streaks = []
    for successes in (0, 4, 4, 0, 2, 4):
        visit(history, 0, successes)
        streaks.append(int(history.unanimous_streak[0]))
    assert streaks == [1, 2, 3, 4, 0, 1]


def test_mopps_updates_by_hand():
    """a <- 1 + lambda (a - 1) + s with lambda = 1/2, and the same for b: the prior is not discounted."""
    history = history_of(2, Belief(1, 1, least=0.5, most=0.5))
    table = []
    for successes in (3, 0, 2):
        visit(history, 1, successes)
        history.moved(0.7)
        table.append(history.beta(1))
    assert table == [(4, 2), (2.5, 5.5), (3.75, 5.25)]
    assert history.beta(0) == (1, 1)


def test_spo_updates_by_hand():
    """a <- rho a + r, b <- rho b + 1 - r, rho = 2^(-D / 0.06) in [0.875, 0.96]."""
    history = history_of(1, Belief(0, 0, half_life=0.06, least=0.875, most=0.96))
    history.prime(np.array([0]), [4.0], [4.0])
    table = []
    for moved, reward in ((0.06, 1), (0.01, 0), (0.0, 1)):
        history.moved(moved)
        visit(history, 0, reward, n=1)
        table.append(history.beta(0))
    rho = 2 ** (-1 / 6)
    a, b = 4.5 * rho, 3.5 * rho + 1
    expected = [(4.5, 3.5), (a, b), (0.96 * a + 1, 0.96 * b)]
    assert np.allclose(table, expected, rtol=1e-6)


def test_counts_are_discounted_temporarily_when_read_and_permanently_when_visited():
    history = history_of(3, Belief(half_life=0.5))
    visit(history, 1, 3)
    history.moved(0.5)
    visit(history, 2, 1)
    history.moved(0.5)
    a, b = history.posterior()
    assert a.tolist() == [0.5, 0.5 + 0.75, 0.5 + 0.5]
    assert b.tolist() == [0.5, 0.5 + 0.25, 0.5 + 1.5]
    assert [history.beta(row) for row in range(3)] == list(zip(a.tolist(), b.tolist(), strict=True))
    assert history.posterior_mean(np.array([2, 0])).tolist() == [1 / 3, 0.5]
    assert float(history.beta_successes[1]) == 3
    visit(history, 1, 4)
    assert history.beta(1) == (0.5 + 0.75 + 4, 0.5 + 0.25)


def test_priming_sets_counts_of_its_rows_and_is_no_visit():
    history = history_of(3, Belief(half_life=1.0))
    history.moved(5.0)
    history.prime(np.array([2, 0]), [7, 1], [1, 7])
    assert [history.beta(row) for row in range(3)] == [(1.5, 7.5), (0.5, 0.5), (7.5, 1.5)]
    assert history.visits.tolist() == [0, 0, 0]
    assert history.first_outcome(2) is None


def test_no_evidence_at_all_is_a_rate_of_one_half():
    history = history_of(3, Belief(0, 0))
    history.prime(np.array([0, 1]), [0, 5], [3, 0])
    assert history.posterior_mean().tolist() == [0, 1, 0.5]


def test_the_state_restores_every_column_and_the_movement_in_place():
    history, other = history_of(4), history_of(4)
    visit(history, 2, 4, temperature=1.25)
    history.heating_steps[1], history.weight[3] = 7, 0.25
    history.moved(0.125)
    visit(history, 0, 0)
    weight = other.weight
    other.load_state_dict(history.state_dict())
    assert other.weight is weight
    one, two = history.state_dict(), other.state_dict()
    assert one.keys() == two.keys()
    assert all(np.array_equal(one[name], two[name]) for name in one)
    assert other.movement == 0.125


def test_a_streak_stops_counting_instead_of_wrapping_to_zero():
    history = History(["a"])
    history.correct_streak[0] = 65_535
    history.record(0, Outcome.ALL_CORRECT, successes=4, n=4, temperature=1.0, version=0)
    assert int(history.correct_streak[0]) == 65_535


def test_state_of_other_prompts_is_refused_with_the_remedy():
    with pytest.raises(ValueError, match=r"other prompts.*resume with the tasks"):
        History(["a", "b"]).load_state_dict(History(["a", "c"]).state_dict())


def test_no_prompts_is_an_error_unless_they_are_to_come():
    with pytest.raises(ValueError, match="no prompts"):
        History([])
    history, other = History([], growing=True), History([], growing=True)
    assert (len(history), history.posterior_mean().tolist()) == (0, [])
    other.load_state_dict(history.state_dict())


# -- growth -----------------------------------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(parts=st.lists(st.lists(st.text(max_size=5), max_size=6), min_size=1, max_size=6))
def test_a_grown_history_is_the_one_that_is_built_at_once(parts):
    names = list(dict.fromkeys(name for part in parts for name in part))
    grown, left = History([], growing=True), list(names)
    for part in parts:
        new, left = left[: len(part)], left[len(part) :]
        assert grown.extend(new).tolist() == list(range(len(grown) - len(new), len(grown)))
    built = History(names, growing=True)
    assert [grown.ids[row] for row in range(len(grown))] == names
    assert grown.ids.digest() == built.ids.digest()
    one, two = grown.state_dict(), built.state_dict()
    assert all(np.array_equal(one[name], two[name]) for name in two)
    assert all(one[name].dtype == two[name].dtype for name in two if name not in {"ids", "movement"})


def test_growth_keeps_what_is_known_and_knows_nothing_of_new_prompts():
    history = History(["a", "b"], Belief(1, 2, half_life=0.5))
    visit(history, 1, 4, temperature=1.25)
    history.heating_steps[1], history.weight[0] = 3, 0.25
    history.moved(0.5)
    assert history.extend(["c", "d"]).tolist() == [2, 3]
    columns = {
        "visits": [0, 1, 0, 0],
        "attempts": [0, 4, 0, 0],
        "heating_steps": [0, 3, 0, 0],
        "weight": [0.25, 1, 1, 1],
        "temperature": [0, 1.25, 0, 0],
        "last_version": [-1, 0, -1, -1],
    }
    assert {name: getattr(history, name).tolist() for name in columns} == columns
    assert [history.beta(row) for row in range(4)] == [(1, 2), (3, 2), (1, 2), (1, 2)]
    visit(history, 3, 1)
    assert (history.beta(3), history.first_outcome(3), history.first_outcome(2)) == ((2, 5), Outcome.MIXED, None)


@pytest.mark.parametrize("ids", [["c", "a"], ["c", "c"], ["later"]])
def test_an_id_comes_once_or_nothing_is_added(ids):
    history = History(["a", "b"])
    history.extend(["later"])
    before = history.ids.digest()
    with pytest.raises(ValueError, match=rf"task '{ids[-1]}' is in the pool already; .*add every id once"):
        history.extend(ids)
    assert (len(history), len(history.weight), history.ids.digest()) == (3, 3, before)
    assert history.extend(["c"]).tolist() == [3]


def test_a_saved_history_that_has_grown_is_loaded_into_one_that_has_grown_as_well():
    history, other = History(["a"]), History(["a"])
    history.extend(["b", "c"])
    visit(history, 2, 4)
    with pytest.raises(ValueError, match="other prompts"):
        other.load_state_dict(history.state_dict())
    other.extend(["b", "c"])
    other.load_state_dict(history.state_dict())
    assert other.beta(2) == history.beta(2) == (4.5, 0.5)
