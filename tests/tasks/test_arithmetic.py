from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rekindle.tasks.arithmetic import load_arithmetic
from rekindle.tasks.task_set import TaskError

SIGNS = {"+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b}
kinds = st.tuples(st.integers(1, 2), st.sampled_from("+-*"), st.integers(1, 2)).map(
    lambda kind: f"{max(kind[0], kind[2])}{kind[1]}{kind[2]}"
)


def problems(tasks):
    return [one.prompt.removeprefix("What is ").removesuffix("?").split() for one in tasks]


@given(st.lists(kinds, min_size=1, max_size=3, unique=True), st.integers(0, 3))
def test_every_answer_is_right_and_no_problem_is_in_both_parts(chosen, seed):
    tasks = load_arithmetic({"kinds": chosen}, pool_size=200, eval_prompts=20, seed=seed)
    assert len(tasks.held_out) == 20
    assert len(tasks.pool) <= 200
    for task, (first, sign, second) in zip(tasks.pool, problems(tasks.pool), strict=True):
        assert int(str(task.answer)) == SIGNS[sign](int(first), int(second)) >= 0
        digits = {f"{len(first)}{sign}{len(second)}", f"{len(second)}{sign}{len(first)}"}
        assert task.metadata["kind"] in digits & set(chosen)
    assert not {one.prompt for one in tasks.pool} & {one.prompt for one in tasks.held_out}


def test_all_problems_of_a_kind_are_there():
    sums = load_arithmetic({"kinds": ["1+1"]}, pool_size=1000, eval_prompts=10, seed=0)
    assert sorted(one.id for one in (*sums.pool, *sums.held_out)) == sorted(
        f"arithmetic/{a} + {b}" for a in range(10) for b in range(10)
    )
    both = load_arithmetic({"kinds": ["2+1"]}, pool_size=10_000, eval_prompts=10, seed=0)
    assert len(both.pool) + 10 == 2 * 90 * 10
    less = load_arithmetic({"kinds": ["1-1"]}, pool_size=1000, eval_prompts=5, seed=0)
    assert len(less.pool) + 5 == 55
    large = load_arithmetic({"kinds": ["3*3"]}, pool_size=10**6, eval_prompts=5, seed=0)
    assert 50_000 < len(large.pool) <= 100_000


def test_the_split_depends_on_the_seed_alone():
    first, again, other = (load_arithmetic({}, pool_size=50, eval_prompts=9, seed=seed) for seed in (1, 1, 2))
    assert first == again != other


@given(kinds, st.integers(0, 3), st.integers(0, 3))
def test_no_problem_is_in_both_parts_whichever_number_comes_first(kind, one, other):
    def texts(part, seed):
        found = load_arithmetic({"kinds": [kind], "part": part}, pool_size=300, eval_prompts=5, seed=seed)
        return {(sign, *sorted((a, b))) for a, sign, b in problems((*found.pool, *found.held_out))}

    assert not texts("development", one) & texts("final", other)


def test_both_parts_together_are_all_problems():
    def ids(**part):
        found = load_arithmetic({"kinds": ["2*1"], **part}, pool_size=10_000, eval_prompts=1, seed=0)
        return {task.id for task in (*found.pool, *found.held_out)}

    development, final = ids(part="development"), ids(part="final")
    assert development | final == ids() == ids(part="all")
    assert 0.4 < len(final) / 1800 < 0.6


def test_each_bounds_every_kind_and_levels_are_the_places_of_the_kinds():
    found = load_arithmetic({"kinds": ["1-1", "2+2", "2*1"], "each": 80}, pool_size=1000, eval_prompts=60, seed=0)
    counts = Counter((one.metadata["kind"], one.metadata["level"]) for one in (*found.pool, *found.held_out))
    assert counts == {("1-1", 1): 55, ("2+2", 2): 80, ("2*1", 3): 80}
    held_out = Counter(one.metadata["kind"] for one in found.held_out)
    assert min(held_out.values()) >= 8, "the choice of the problems is not that of the held-out ones"


def test_problems_that_the_template_shows_are_left_out():
    template = "6 + 3 = 9\n{} ="
    found = load_arithmetic({"kinds": ["1+1"], "template": template}, pool_size=200, eval_prompts=1, seed=0)
    assert len(found.pool) == 98
    assert "arithmetic/6 + 3" not in {task.id for task in (*found.pool, *found.held_out)}


def test_a_template_of_ones_own():
    tasks = load_arithmetic({"kinds": ["1+1"], "template": "{} ="}, pool_size=5, eval_prompts=1, seed=0)
    assert all(task.prompt == f"{task.id.removeprefix('arithmetic/')} =" for task in tasks.pool)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"digits": 2}, "task.params has no 'digits' for arithmetic; it takes kinds, template, part, each"),
        ({"part": "test"}, "part = 'test' must be one of all, development, final"),
        ({"each": 0}, "each = 0 must be the most problems of a kind"),
        ({"each": True}, "each = True must be the most problems of a kind"),
        ({"kinds": "1+1"}, "kinds = '1\\+1' must be a list of kinds"),
        ({"kinds": []}, "must be a list of kinds"),
        ({"kinds": ["1/1"]}, "must be a list of kinds"),
        ({"kinds": ["4+1"]}, "must be a list of kinds"),
        ({"kinds": ["1-2"]}, "differences are not negative"),
        ({"kinds": [3]}, "must be a list of kinds"),
        ({"template": "What?"}, "must be a text with one {}"),
        ({"template": 3}, "must be a text with one {}"),
    ],
)
def test_wrong_parameters_are_named(params, message):
    with pytest.raises(TaskError, match=message):
        load_arithmetic(params, pool_size=5, eval_prompts=1, seed=0)


def test_too_many_held_out_prompts_are_refused():
    with pytest.raises(TaskError, match=r"arithmetic has 100 distinct prompts and eval.prompts = 100 would leave none"):
        load_arithmetic({"kinds": ["1+1"]}, pool_size=5, eval_prompts=100, seed=0)
