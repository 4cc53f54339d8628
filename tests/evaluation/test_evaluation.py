"""The measures: by hand, against brute force, and against numpy."""

from collections import Counter
from itertools import combinations
from math import sqrt
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rekindle import Rollout, Task
from rekindle.evaluation import pass_at_k
from rekindle.evaluation.evaluator import evaluate
from rekindle.evaluation.measures import Measures, average, measure, solved
from rekindle.evaluation.records import Answer, Record, entry_of
from rekindle.types import Document, Retrieval


@given(st.integers(1, 9).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))))
def test_pass_at_k_is_the_share_of_subsets_with_a_success(case):
    samples, correct, k = case
    subsets = list(combinations(range(samples), k))
    share = sum(any(index < correct for index in subset) for subset in subsets) / len(subsets)
    assert pass_at_k(samples, correct, k) == pytest.approx(share)


@pytest.mark.parametrize("arguments", [(4, 2, 5), (4, 2, 0), (4, 5, 1), (4, -1, 1)])
def test_impossible_counts_are_refused(arguments):
    with pytest.raises(ValueError, match=r"pass@|impossible"):
        pass_at_k(*arguments)


# -- records -----------------------------------------------------------------------------------------------------------


def rollout(reward, **more):
    return Rollout(
        token_ids=[7, 8, 9], loss_mask=[False, True, True], logprobs=[0.0, -1.0, -1.0], reward=reward, **more
    )


def test_a_record_by_hand():
    found = Retrieval(1, "who", (Document("17", "T", "long text"), Document("4", "", "")))
    group = [rollout(1.0, text="a", turns=2, transcript="all", retrievals=(found,)), rollout(0.0, truncated=True)]
    entry = entry_of(group)
    assert entry["rollouts"][0] == {
        "reward": 1.0,
        "failure": None,
        "truncated": False,
        "turns": 2,
        "tokens": 2,
        "text": "a",
        "transcript": "all",
        "retrievals": [{"turn": 1, "query": "who", "documents": ["17", "4"]}],
    }
    assert Record.of(group) == Record((Answer(1.0, 2, 1, 2, False, None), Answer(0.0, 1, 0, 2, True, None)), False)


def test_what_could_not_be_played_is_void():
    assert Record.of(None) == Record((), True)
    assert Record.of([rollout(1.0), rollout(0.0, failure="retriever", void=True)]).void
    assert not Record.of([rollout(0.0, failure="timeout")]).void
    assert solved(Record.of([rollout(1.0, void=True)]), 1, 0.5) == [False]


# -- measures ----------------------------------------------------------------------------------------------------------


def record(rewards, **more):
    return Record.of([rollout(float(reward), **more) for reward in rewards])


def test_measures_by_hand():
    found = measure(
        [record([1, 1, 1, 1], turns=3), record([1, 0, 0, 1], truncated=True), record([0, 0, 0, 0], failure="timeout")],
        samples=4,
        ks=(1, 2),
        success_at=1.0,
    )
    about: Any = pytest.approx
    assert found == Measures(
        questions=3,
        samples=4,
        pass_at={1: about(1 / 2), 2: about((1 + 5 / 6 + 0) / 3)},
        standard_error={1: about(0.5 / sqrt(3)), 2: about(np.std([1, 5 / 6, 0], ddof=1) / sqrt(3))},
        runs=(about(2 / 3), about(1 / 3), about(1 / 3), about(2 / 3)),
        run_error=about(sqrt((4 / 36) / 3) / 2),
        reward=about(1 / 2),
        turns=about(5 / 3),
        searches=0,
        tokens=2,
        truncated=about(1 / 3),
        void=0,
        failures={"timeout": 4},
    )


def test_void_questions_count_as_never_solved_and_are_reported():
    void = Record.of([rollout(1.0, turns=9), rollout(1.0, void=True, failure="judge")])
    found = measure([record([1, 1]), void, Record.of(None)], samples=2, ks=(1, 2), success_at=0.5)
    assert found.pass_at == {1: pytest.approx(1 / 3), 2: pytest.approx(1 / 3)}
    assert found.runs == (pytest.approx(1 / 3), pytest.approx(1 / 3))
    assert (found.void, found.failures, found.turns, found.reward) == (2, {}, 1, pytest.approx(1 / 3))
    nothing = measure([Record.of(None)] * 2, samples=2, ks=(1,), success_at=0.5)
    assert (nothing.pass_at[1], nothing.void) == (0.0, 2)
    assert (nothing.turns, nothing.searches, nothing.tokens, nothing.truncated) == (None, None, None, None)


def test_an_undefined_error_is_none():
    found = measure([record([1])], samples=1, ks=(1,), success_at=0.5)
    assert (found.standard_error, found.run_error) == ({1: None}, None)
    assert average([found, found]).standard_error == {1: None}


def test_the_average_over_sets_by_hand():
    one = measure([record([1, 1]), record([0, 0])], samples=2, ks=(1,), success_at=0.5)
    other = measure(
        [record([1, 0]), *[record([0, 0], failure="crash")] * 2, Record.of(None)], samples=2, ks=(1,), success_at=0.5
    )
    found = average([one, other])
    assert found.questions == 6
    assert found.pass_at[1] == pytest.approx((1 / 2 + 1 / 8) / 2)
    assert found.standard_error[1] == pytest.approx(sqrt(0.5**2 + (0.25 / 2) ** 2) / 2)
    assert found.runs == (pytest.approx((1 / 2 + 1 / 4) / 2), pytest.approx(1 / 4))
    assert found.run_error == pytest.approx((3 / 8 - 1 / 4) / 2)
    assert (found.void, found.failures) == (1, {"crash": 4})
    pooled = measure(
        [record([1, 1]), record([0, 0]), record([1, 0]), *[record([0, 0])] * 3], samples=2, ks=(1,), success_at=0.5
    )
    assert pooled.pass_at[1] == pytest.approx(3 / 12), "questions, unlike sets, have one weight each"


TABLES = st.integers(2, 6).flatmap(
    lambda n: st.lists(st.lists(st.booleans(), min_size=n, max_size=n), min_size=2, max_size=8)
)


@given(TABLES)
def test_errors_are_those_of_numpy(table):
    found = measure([record(row) for row in table], samples=len(table[0]), ks=(1, 2), success_at=0.5)
    values = np.array(table, float)
    questions, runs = values.mean(axis=1), values.mean(axis=0)
    assert found.pass_at[1] == pytest.approx(values.mean())
    assert found.standard_error[1] == pytest.approx(np.sqrt(np.var(questions, ddof=1) / len(questions)))
    assert np.mean(found.runs) == pytest.approx(found.pass_at[1])
    assert found.run_error == pytest.approx(np.sqrt(np.var(runs, ddof=1) / len(runs)))
    pairs = [any(row[index] for index in pair) for row in table for pair in combinations(range(len(row)), 2)]
    assert found.pass_at[2] == pytest.approx(np.mean(pairs))
    assert found.pass_at[2] >= found.pass_at[1] - 1e-12


# -- in memory, as runs follow their held-out prompts ------------------------------------------------------------------


class Half:
    """Solves every second rollout; the third task cannot be played."""

    counts = Counter()  # noqa: RUF012
    seconds = {"generate": 0.0, "verify": 0.0}  # noqa: RUF012

    def play(self, requests):
        self.requests = requests
        for request in reversed(requests):
            if request.row == 2:
                yield request.id, None
            else:
                yield request.id, [rollout(index % 2) for index in range(request.n)]


def test_evaluate_keeps_the_order_and_counts_what_could_not_be_played():
    environment = Half()
    result = evaluate(environment, [Task(name, name, "") for name in "abc"], samples=4, temperature=0.7, seed=5)
    assert result.successes == (2, 2, 0)
    assert result.accuracy == pytest.approx(1 / 3)
    assert {request.temperature for request in environment.requests} == {0.7}
    assert len({request.seed for request in environment.requests}) == 3
