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


def test_a_template_of_ones_own():
    tasks = load_arithmetic({"kinds": ["1+1"], "template": "{} ="}, pool_size=5, eval_prompts=1, seed=0)
    assert all(task.prompt == f"{task.id.removeprefix('arithmetic/')} =" for task in tasks.pool)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"digits": 2}, "task.params has no 'digits' for arithmetic; it takes kinds, template"),
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
