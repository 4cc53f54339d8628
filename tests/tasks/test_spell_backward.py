"""Words, their splits and the teacher's slips."""

import itertools
import math
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rekindle.tasks.spell_backward import (
    CHARACTERS,
    SEPARATOR,
    Split,
    load_spell_backward,
    split_of,
)
from rekindle.tasks.task_set import TaskError
from rekindle.warm_starts.spelling import demonstrations, teacher_error_rate

VOWELS = set("aeiou")
lengths = st.tuples(st.integers(2, 14), st.integers(2, 14)).map(sorted)


def words(tasks):
    return {task.prompt.removesuffix(SEPARATOR) for task in tasks}


@pytest.mark.filterwarnings("ignore:task.pool_size")
@settings(deadline=None, max_examples=30)
@given(
    lengths=lengths, sizes=st.tuples(st.integers(1, 300), st.integers(1, 20)), seeds=st.tuples(*[st.integers(0, 9)] * 3)
)
def test_no_word_is_in_two_splits_whatever_the_seeds_and_sizes(lengths, sizes, seeds):
    params = {"min_length": lengths[0], "max_length": lengths[1]}
    first = load_spell_backward(params, pool_size=sizes[0], eval_prompts=sizes[1], seed=seeds[0])
    second = load_spell_backward(params, pool_size=sizes[1], eval_prompts=1, seed=seeds[1])
    shown = {prompt.removesuffix(SEPARATOR) for prompt, _ in demonstrations(50, seeds[2], params)}
    pool, held_out = words(first.pool + second.pool), words(first.held_out + second.held_out)
    assert len(pool | held_out | shown) == len(pool) + len(held_out) + len(shown)
    assert {split_of(word) for word in pool} == {Split.POOL}


@pytest.mark.filterwarnings("ignore:task.pool_size")
@settings(deadline=None, max_examples=30)
@given(lengths=lengths, pool_size=st.integers(1, 200), seed=st.integers(0, 9))
def test_tasks_are_deterministic_and_ask_for_the_reversed_word(lengths, pool_size, seed):
    params = {"min_length": lengths[0], "max_length": lengths[1]}
    found = load_spell_backward(params, pool_size=pool_size, eval_prompts=5, seed=seed)
    assert found == load_spell_backward(params | {"seed": seed}, pool_size=pool_size, eval_prompts=5, seed=99)
    for task in found.pool + found.held_out:
        word = task.prompt.removesuffix(SEPARATOR)
        assert task.answer == word[::-1]
        assert set(task.prompt) <= set(CHARACTERS)
        assert lengths[0] <= len(word) <= lengths[1]
        assert all((a in VOWELS) != (b in VOWELS) for a, b in itertools.pairwise(word))


@pytest.mark.filterwarnings("ignore:task.pool_size")
@settings(deadline=None, max_examples=20)
@given(lengths=lengths, seeds=st.tuples(st.integers(0, 9), st.integers(0, 9)))
def test_no_word_is_in_the_development_and_in_the_final_part(lengths, seeds):
    params = {"min_length": lengths[0], "max_length": lengths[1]}
    found = [
        load_spell_backward(params | {"part": part}, pool_size=200, eval_prompts=5, seed=seed)
        for part, seed in zip(("development", "final"), seeds, strict=True)
    ]
    development, final = (words(one.pool + one.held_out) for one in found)
    assert not development & final
    assert all(split_of(word) is Split.HELD_OUT for word in words(found[1].held_out))


def test_the_whole_is_what_it_was_without_parts():
    assert load_spell_backward({}, pool_size=50, eval_prompts=9, seed=3) == load_spell_backward(
        {"part": "all"}, pool_size=50, eval_prompts=9, seed=3
    )
    with pytest.raises(TaskError, match="must be one of all, development, final"):
        load_spell_backward({"part": "both"}, pool_size=50, eval_prompts=9, seed=3)


def test_lengths_are_uniform_as_far_as_words_exist():
    found = load_spell_backward({}, pool_size=4096, eval_prompts=256, seed=0)
    counts = Counter(task.metadata["length"] for task in found.pool)
    assert sum(counts.values()) == 4096
    two_letters = counts.pop(2)
    assert two_letters == 75  # every one there is
    assert set(counts.values()) <= {335, 336}
    held_out = Counter(task.metadata["length"] for task in found.held_out)
    assert set(held_out.values()) <= {19, 20}


def test_more_words_than_exist_ends_with_a_warning():
    with pytest.warns(UserWarning, match=r"task.pool_size = 4096, but only 1056 words of 2 to 3 letters"):
        found = load_spell_backward({"max_length": 3}, pool_size=4096, eval_prompts=5, seed=0)
    assert len(found.pool) == 75 + 981


def test_the_splits_of_all_words_of_three_letters_add_up():
    letters = "bcdfghjklmnpqrstvwxyz"
    every = [a + b + c for a in letters for b in VOWELS for c in letters]
    every += [a + b + c for a in VOWELS for b in letters for c in VOWELS]
    assert Counter(map(split_of, every)) == {Split.DEMONSTRATION: 1403, Split.POOL: 981, Split.HELD_OUT: 346}


@pytest.mark.parametrize(
    ("params", "complaint"),
    [
        ({"min_len": 3}, "no 'min_len' for spell_backward; it takes min_length, max_length, seed"),
        ({"min_length": 1}, "choose 2 <= min_length <= max_length <= 40"),
        ({"min_length": 9, "max_length": 5}, "choose 2 <="),
        ({"max_length": 99}, "choose 2 <="),
        ({"max_length": 5.0}, "max_length = 5.0 must be a whole number"),
        ({"seed": True}, "seed = True must be a whole number"),
    ],
)
def test_bad_parameters_are_refused(params, complaint):
    with pytest.raises(TaskError, match=complaint):
        load_spell_backward(params, pool_size=1, eval_prompts=1, seed=0)
    with pytest.raises(TaskError, match=complaint):
        demonstrations(1, 0, params)


# -- the teacher ------------------------------------------------------------------------------------------------------

COUNT = 20_000


@pytest.fixture(scope="module")
def shown():
    return demonstrations(COUNT, seed=0)


def test_the_error_rate_is_the_formula():
    assert teacher_error_rate(8) == pytest.approx(0.485)
    assert teacher_error_rate(2) == pytest.approx(0.97 / (1 + math.e**6))


def test_the_teacher_errs_as_often_as_it_should(shown):
    total, wrong = Counter(), Counter()
    for prompt, completion in shown:
        word = prompt.removesuffix(SEPARATOR)
        total[len(word)] += 1
        wrong[len(word)] += completion != word[::-1]
    for length, count in total.items():
        assert two_sided_binomial(wrong[length], count, teacher_error_rate(length)) > 1e-4, length


def test_long_words_are_shown_half_as_often(shown):
    long = sum(len(prompt) - 1 >= 9 for prompt, _ in shown)
    assert two_sided_binomial(long, COUNT, 3 / 10) > 1e-4  # 6 lengths of weight 1/2 beside 7 of weight 1


def test_a_slip_changes_the_length_by_one_or_keeps_it_and_all_kinds_occur(shown):
    differences = Counter()
    for prompt, completion in shown:
        answer = prompt.removesuffix(SEPARATOR)[::-1]
        if completion != answer:
            same_letters = sorted(completion) == sorted(answer)
            differences[(len(completion) - len(answer), same_letters)] += 1
        assert completion
        assert set(completion) <= set(CHARACTERS) - {SEPARATOR}
    common = {kind for kind, _ in differences.most_common(4)}
    assert common == {(0, True), (0, False), (1, False), (-1, False)}  # swap, replace, double, drop
    wrong = sum(differences.values())
    assert sum(differences[kind] for kind in common) > 0.9 * wrong


def test_demonstrations_depend_on_their_seed_alone(shown):
    assert demonstrations(100, seed=0, params={"seed": 5}) == demonstrations(100, seed=0)
    assert demonstrations(100, seed=1) != demonstrations(100, seed=0)


def two_sided_binomial(successes, trials, p):
    """Exact probability of a count at least as far out on its side, doubled."""
    at_most = binomial_below(successes, trials, p)
    at_least = 1 - binomial_below(successes - 1, trials, p)
    return min(1.0, 2 * min(at_most, at_least))


def binomial_below(successes, trials, p):
    logs = (
        math.lgamma(trials + 1) - math.lgamma(k + 1) - math.lgamma(trials - k + 1)
        + k * math.log(p) + (trials - k) * math.log1p(-p)
        for k in range(successes + 1)
    )  # fmt: skip
    return math.fsum(map(math.exp, logs))
