from itertools import combinations
from math import sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rekindle import Rollout, Task
from rekindle.evaluation import pass_at_k
from rekindle.evaluation.evaluator import Evaluation, evaluate


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


def test_mean_and_standard_error_by_hand():
    result = Evaluation(("a", "b", "c"), (4, 2, 0), samples=4, texts=((), (), ()), failed=0)
    assert result.accuracy == pytest.approx(0.5)
    assert result.standard_error() == pytest.approx(sqrt(((0.5**2) * 2 / 2) / 3))
    assert result.pass_at(2) == pytest.approx((1 + 5 / 6 + 0) / 3)
    assert Evaluation(("a",), (1,), 1, ((),), 0).standard_error() == 0.0


class Half:
    """Solves every second rollout; the third task cannot be played."""

    seconds = {"generate": 0.0, "verify": 0.0}  # noqa: RUF012

    def play(self, requests):
        self.requests = requests
        for request in reversed(requests):
            if request.row == 2:
                yield request.id, None
            else:
                texts = [f"{request.row}.{index}" for index in range(request.n)]
                yield (
                    request.id,
                    [Rollout([0, 1], [False, True], [0, -1], index % 2, text=text) for index, text in enumerate(texts)],
                )


def test_evaluate_keeps_the_order_and_counts_what_could_not_be_played():
    environment = Half()
    result = evaluate(environment, [Task(name, name, "") for name in "abc"], samples=4, temperature=0.7, seed=5)
    assert result.task_ids == ("a", "b", "c")
    assert result.successes == (2, 2, 0)
    assert result.failed == 1
    assert result.texts[1] == ("1.0", "1.1", "1.2", "1.3")
    assert {request.temperature for request in environment.requests} == {0.7}
    assert len({request.seed for request in environment.requests}) == 3
