"""Splits share nothing, whatever the prompts are."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rekindle.tasks.task_set import TaskError, TaskSet, levels_of, normalized_prompt, prompt_id, split
from rekindle.types import Task


def tasks(*prompts):
    return tuple(Task(prompt_id(prompt), prompt, "0") for prompt in prompts)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2 + 2", " 2  +\n2 ", True),
        ("caf\u00e9", "cafe\u0301", True),
        ("Ab", "ab", False),
        ("2+2", "2 + 2", False),
    ],
)
def test_prompts_are_the_same_up_to_white_space_and_unicode_form(one, other, same):
    assert (normalized_prompt(one) == normalized_prompt(other)) is same
    assert (prompt_id(one) == prompt_id(other)) is same


def test_an_id_never_changes():
    assert prompt_id("2+2=") == "8ef82285d4dc1c2d"


def test_an_empty_pool_is_refused():
    with pytest.raises(TaskError, match="nothing to train on"):
        TaskSet((), tasks("a"))


def test_a_prompt_in_pool_and_held_out_is_refused():
    with pytest.raises(TaskError, match="same prompt"):
        TaskSet(tasks("a b"), (Task("other", "a  b", "0"),))


def test_an_id_used_twice_is_refused():
    with pytest.raises(TaskError, match="'x' is used twice"):
        TaskSet((Task("x", "a", "0"),), (Task("x", "b", "0"),))


@settings(deadline=None)
@given(
    numbers=st.sets(st.integers(), min_size=2, max_size=40),
    share=st.floats(0, 0.99),
    seed=st.integers(0, 3),
    pool_size=st.none() | st.integers(1, 50),
)
def test_split_parts_are_disjoint_ordered_and_of_the_size_asked(numbers, share, seed, pool_size):
    source = tasks(*map(str, numbers))
    held_out = int(share * len(source))
    parts = split(source, held_out, pool_size, seed, "numbers")
    assert len(parts.held_out) == held_out
    assert len(parts.pool) == min(pool_size or len(source), len(source) - held_out)
    for part in (parts.pool, parts.held_out):
        assert list(part) == [task for task in source if task in part]
    assert parts == split(source, held_out, pool_size, seed, "numbers")


def test_a_row_more_moves_at_most_one_prompt_out_of_the_held_out():
    source = tasks(*map(str, range(200)))
    before, after = ({task.id for task in split(some, 50, None, 0, "").held_out} for some in (source[:-1], source))
    assert len(before - after) <= 1


def test_another_seed_holds_out_other_prompts():
    source = tasks(*map(str, range(200)))
    assert split(source, 50, None, 0, "").held_out != split(source, 50, None, 1, "").held_out


def test_a_split_that_leaves_no_pool_names_the_remedy():
    with pytest.raises(
        TaskError, match=r"data.jsonl has 3 distinct prompts and eval.prompts = 3 .* lower eval.prompts"
    ):
        split(tasks("a", "b", "c"), 3, None, 0, "data.jsonl")


@pytest.mark.parametrize(
    ("levels", "found"),
    [([1, 3], [1, 3]), (["2hop", "4hop"], [2, 4]), (["3", 1], [3, 1]), ([1, None], []), (["bridge", 2], []), ([], [])],
)
def test_levels_are_whole_numbers_of_every_task_or_none_at_all(levels, found):
    tasks = [Task(str(row), f"p{row}", "a", {"level": level}) for row, level in enumerate(levels)]
    assert levels_of(tasks) == found
