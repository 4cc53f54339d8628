"""Rows of a generation over several turns with tools."""

import pytest

from rekindle.integrations.trl.row_plan import RowPlan
from rekindle.integrations.trl.row_sampling import RowSeed


def test_turns_after_tools_go_on_with_their_rows():
    rows = [RowSeed(seed, 0, 1.0 + seed / 10) for seed in range(4)]
    plan = RowPlan(rows)
    prompts = [[1], [2], [2], [3, 4]]
    assert [row.seed for row in plan.begin(prompts).rows] == [0, 1, 2, 3]
    plan.end([[5, 6], [7], [8, 9], [5]], [[-0.1, -0.2], [-0.3], [-0.4, -0.5], [-0.6]])
    later = plan.begin([[1, 5, 6, 20, 21], [2, 8, 9, 22]])
    assert [row.seed for row in later.rows] == [0, 2]
    assert later.temperatures == [1.0, 1.2]
    assert later._firsts == (4, 3)
    plan.end([[30], [31, 32]], [[-0.7], [-0.8, -0.9]])
    last = plan.begin([[2, 8, 9, 22, 31, 32, 23]])
    assert last._firsts == (6,)
    plan.end([[33]], [[-1.0]])
    final = [[5, 6, 20, 21, 30], [7], [8, 9, 22, 31, 32, 23], [5]]
    assert plan.logprobs(final) == [
        [-0.1, -0.2, 0.0, 0.0, -0.7],
        [-0.3],
        [-0.4, -0.5, 0.0, -0.8, -0.9, 0.0],
        [-0.6],
    ]


def test_a_sequence_of_no_row_and_foreign_completions_are_refused():
    plan = RowPlan([RowSeed(0, 0, 1.0), RowSeed(1, 0, 1.0)])
    plan.begin([[1], [2]])
    plan.end([[5], [6]], [[-1.0], [-2.0]])
    with pytest.raises(RuntimeError, match="sequence 1 of TRL's next turn continues no row"):
        plan.begin([[2, 6, 9], [1, 5, 9]])
    with pytest.raises(RuntimeError, match="is not what its rows sampled"):
        plan.logprobs([[7], [6]])


def test_of_equal_rows_one_may_take_the_place_of_the_other():
    plan = RowPlan([RowSeed(0, 0, 1.0), RowSeed(1, 0, 1.0)])
    plan.begin([[1], [1]])
    plan.end([[5], [5]], [[-1.0], [-1.0]])
    plan.begin([[1, 5, 9]])  # of the second row in truth: the first one's output was too long
    plan.end([[6]], [[-3.0]])
    assert plan.logprobs([[5], [5, 9, 6]]) == [[-1.0], [-1.0, 0.0, -3.0]]
