"""The columns of a run's visits, how prompts flip, and what signal cost, by hand and by simulation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_run import write_ledger, write_run

from rekindle.observability.flips import Flips
from rekindle.observability.runs import load_run
from rekindle.observability.savings import WINDOW, saving
from rekindle.observability.visits import Visits, read_visits
from rekindle.types import Outcome

WRONG, MIXED, CORRECT = Outcome.ALL_WRONG, Outcome.MIXED, Outcome.ALL_CORRECT
CODES = {"w": 0, "m": 1, "c": 2, "f": 3}


def visits(*rows, n=4):
    """Visits ``(prompt, step, "w" | "m" | "c" | "f")``; every mixed group is trained."""
    names = list(dict.fromkeys(prompt for prompt, *_ in rows))
    outcome = np.array([CODES[code] for *_, code in rows])
    return Visits(
        names,
        np.array([names.index(prompt) for prompt, *_ in rows]),
        np.array([step for _, step, _ in rows]),
        np.full(len(rows), n),
        np.array([{0: 0, 1: 1, 2: n, 3: 0}[code] for code in outcome.tolist()]),
        (outcome == 1).astype(np.int64),
        outcome,
    )


def histories(**outcomes):
    """A prompt per keyword with one visit per letter, a visit a step."""
    return visits(*((name, step, code) for name, codes in outcomes.items() for step, code in enumerate(codes, 1)))


def test_a_ledger_is_read_in_the_order_of_its_requests(tmp_path):
    write_run(tmp_path, steps=0)
    (tmp_path / "ledger.sqlite").unlink()
    rows = [
        (2, 1, 0, "b", "solver", 4, 1.0, 4, "all_correct", None, None, "recycled", 9, 8, 0.1),
        (1, 1, 0, "a", "solver", 2, 1.0, 1, "mixed", None, None, "trained", 9, 8, 0.1),
        (-1, 1, 0, "seed", "proposer", 1, 1.0, 1, "all_correct", None, None, "trained", 9, 8, 0.1),
        (3, 2, 1, "a", "solver", 2, 1.0, 0, None, "mixed", "mixed", "failed", 9, 8, 0.1),
        (4, 3, 2, "c", "solver", 2, 1.0, 0, "all_wrong", None, None, "recycled", 9, 8, 0.1),
    ]  # fmt: skip
    write_ledger(tmp_path / "ledger.sqlite", rows).close()
    found = read_visits(load_run(tmp_path), 2)
    assert found.ids == ["a", "b"]
    assert [found.prompt.tolist(), found.outcome.tolist(), found.trained.tolist()] == [[0, 1, 0], [1, 2, 3], [1, 0, 0]]
    assert [found.step.tolist(), found.n.tolist(), found.successes.tolist()] == [[1, 1, 2], [2, 4, 2], [1, 4, 0]]
    assert [found.of(0).tolist(), found.of(1).tolist()] == [[0, 2], [1]]
    assert list(found.table([1, 0])) == [
        {"task_id": "b", "visits": 1, "rollouts": 4, "successes": 4, "trained": 0},
        {"task_id": "a", "visits": 2, "rollouts": 4, "successes": 1, "trained": 1},
    ]


def test_a_run_without_groups_has_no_visits(tmp_path):
    (tmp_path / "config.toml").write_text("")
    found = read_visits(load_run(tmp_path), 5)
    assert (found.ids, len(found.step), len(Flips(found).revisited), Flips(found).most_visits) == ([], 0, 0, 0)
    assert saving(found, 5, 4) is None


def test_prompts_flip_from_their_first_to_their_last_outcome():
    flips = Flips(histories(a="wmc", b="wwm", c="mc", d="cfw", e="w", f="ww", g="fw", h="wc", i="f"))
    assert {kind: [flips.visits.ids[place] for place in flips.prompts(kind)] for kind in flips.kinds} == {
        (WRONG, CORRECT): ["a", "h"],
        (WRONG, MIXED): ["b"],
        (MIXED, CORRECT): ["c"],
        (CORRECT, WRONG): ["d"],
        (WRONG, WRONG): ["f"],
    }
    assert (len(flips.revisited), flips.once, flips.most_visits) == (6, 2, 3)
    assert flips.by_visit(2).tolist() == [[6, 1, 1], [3, 1, 2]]
    assert flips.by_visit(9).tolist() == [[6, 1, 1], [3, 1, 2], [0, 1, 1]]


@given(st.lists(st.text("wmcf", min_size=1, max_size=6), min_size=1, max_size=12))
def test_every_prompt_is_of_one_kind(codes):
    flips = Flips(histories(**{f"p{place}": text for place, text in enumerate(codes)}))
    kinds = [prompt for kind in flips.kinds for prompt in flips.prompts(kind)]
    assert sorted(kinds) == flips.revisited.tolist()
    known = [text.replace("f", "") for text in codes]
    assert flips.once == sum(len(text) == 1 for text in known)
    assert flips.by_visit(10).sum() == sum(map(len, known))
    for first, last in flips.kinds:
        for prompt in flips.prompts((first, last)):
            ends = [{"w": WRONG, "m": MIXED, "c": CORRECT}[known[prompt][end]] for end in (0, -1)]
            assert ends == [first, last]


def drawn(step, codes, prefix="p"):
    """A visit of a new prompt per letter."""
    return [(f"{prefix}{step}.{place}", step, code) for place, code in enumerate(codes)]


def test_a_run_that_draws_in_turn_saves_nothing():
    found = saving(visits(*drawn(1, "mw" * 50), *drawn(2, "mw" * 50)), 2, 4)
    assert found is not None
    assert (found.steps, found.signal, found.rollouts, found.baseline, found.first_visits) == (2, 100, 800, 800, 200)
    assert found.share == 0
    low, high = found.interval()
    assert low < 0 < high
    assert found.error == pytest.approx((0.5 / (0.5 * 200)) ** 0.5)


def test_a_run_that_draws_more_signal_than_first_visits_have_saves():
    """Of the first visits a quarter has signal, of the second ones of the same step all: half of the groups in all."""
    again = [(f"p1.{place}", 1, "m") for place in range(50)]
    found = saving(visits(*drawn(1, "mwwc" * 25), *again), 1, 4)
    assert found is not None
    assert (found.signal, found.rollouts, found.baseline) == (75, 600, 1200)
    assert found.share == 0.5
    worse = saving(visits(*drawn(1, "mwwc" * 25), *[(name, 1, "c") for name, *_ in again]), 1, 4)
    assert worse is not None
    assert worse.share == pytest.approx(-0.5)


def test_steps_without_recent_first_visits_are_left_out():
    first = drawn(1, "mw" * WINDOW)
    later = [(name, step, "m") for step in range(2, 40) for name, *_ in first[:10]]
    found = saving(visits(*first, *later), 39, 4)
    assert found is not None
    assert found.steps == 6  # the window may reach back 5 steps
    assert found.signal == WINDOW + 5 * 10


@pytest.mark.parametrize("codes", ["w" * 120, "f" * 120, "c" * 120])
def test_without_signal_there_is_nothing_to_compare(codes):
    assert saving(visits(*drawn(1, codes)), 1, 4) is None


def test_larger_first_groups_count_as_draws_of_the_group_size_and_smaller_ones_do_not():
    """Of 4 rollouts 1 is right: two of them differ with probability 1 - 3 / 6."""
    found = saving(visits(*drawn(1, "m" * 100), n=4), 1, 2)
    assert found is not None
    assert found.baseline == pytest.approx(2 * 100 / 0.5)
    assert saving(visits(*drawn(1, "m" * 100), n=1), 1, 2) is None


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.floats(0.15, 0.85))
def test_the_interval_of_uniform_draws_holds_zero_nearly_always(seed, share):
    rng = np.random.default_rng(seed)
    rows = [row for step in range(1, 11) for row in drawn(step, ["mw"[int(rng.random() > share)] for _ in range(60)])]
    found = saving(visits(*rows), 10, 4)
    assert found is not None
    low, high = sorted(found.interval())
    assert low - 0.05 <= 0 <= high + 0.05
