"""reasoning-gym's scorers in worker processes: what is right, what is wrong and what attacks them."""

import os

import pytest
from thoughts import THOUGHTS
from unguarded import unguarded_verifier

from rekindle.tasks.reasoning_gym import tasks_from_entries
from rekindle.tasks.reasoning_gym_main import generate_entries
from rekindle.verifiers.confinement import landlock_version
from rekindle.verifiers.reasoning_gym import ReasoningGymVerifier
from rekindle.verifiers.verifier import Verdict

pytest.importorskip("reasoning_gym")

DATASETS = """
ab acre aiw arc_1d arc_agi base_conversion bitwise_arithmetic calendar_arithmetic chain_sum circuit_logic countdown
course_schedule dice game_of_life gcd isomorphic_strings knights_knaves largest_island list_functions manipulate_matrix
maze mini_sudoku n_queens number_sorting polynomial_multiplication prime_factorization simple_equations spell_backward
string_insertion syllogism tower_of_hanoi word_ladder
"""


@pytest.fixture(scope="module")
def verifier():
    verifier = ReasoningGymVerifier(workers=2, timeout_seconds=4.0)
    yield verifier
    verifier.close()


@pytest.fixture(scope="module")
def unguarded():
    verifier = unguarded_verifier(workers=2, timeout_seconds=4.0)
    yield verifier
    verifier.close()


def tasks_of(name, size=1):
    dataset = {"name": name, "params": {"seed": 0, "size": size}}
    return tasks_from_entries(dataset, generate_entries(**dataset))


@pytest.fixture(scope="module")
def countdown():
    return tasks_of("countdown")[0]


@pytest.mark.slow
def test_gold_answers_of_many_data_sets_score_one():
    items = [(task, task.answer) for name in DATASETS.split() for task in tasks_of(name, size=2)]
    assert len(items) == 64
    patient = ReasoningGymVerifier(workers=2, timeout_seconds=30.0)  # the first verdicts find nothing cached
    try:
        verdicts = patient.judge(items)
    finally:
        patient.close()
    wrong = {task.id: verdict for (task, _), verdict in zip(items, verdicts, strict=True) if verdict != Verdict(1.0)}
    assert not wrong


def test_partial_credit_comes_through(verifier, countdown):
    (word,) = tasks_of("spell_backward")
    almost = word.answer[:2] + "#" * (len(word.answer) - 2)
    empty, valid, partial = verifier.judge([(countdown, ""), (countdown, "1+1"), (word, almost)])
    assert (empty, valid) == (Verdict(0.01), Verdict(0.05))
    assert partial.score == pytest.approx(2 / len(word.answer))


def test_a_scorer_that_raises_is_an_error(verifier):
    (task,) = tasks_of("prime_factorization")
    assert verifier.judge([(task, "two times three"), (task, task.answer)]) == [Verdict(0.0, "error"), Verdict(1.0)]


@pytest.mark.slow
def test_hangs_and_crashes_cost_their_own_verdicts_only(unguarded, countdown):
    right = countdown.answer
    texts = {
        right: Verdict(1.0),
        "9**9**9**9": Verdict(0.0, "timeout"),
        '__import__("time").sleep(99)': Verdict(0.0, "timeout"),
        '__import__("os")._exit(0)': Verdict(0.0, "crash"),
        '__import__("os").abort()': Verdict(0.0, "crash"),
        '__import__("os").closerange(3, 99)': Verdict(0.0, "crash"),
        "exec(\"import os\\nfor f in range(3, 99):\\n try: os.write(f, b'garbage')\\n except OSError: pass\")": Verdict(
            0.0, "crash"
        ),
        'print("noise" * 10000)': Verdict(0.01),
        "exit()": Verdict(0.01),
        f"because ... <answer>{right}</answer>": Verdict(1.0),
    }
    assert unguarded.judge([(countdown, text) for text in texts]) == list(texts.values())


def test_a_verdict_does_not_depend_on_the_one_before(unguarded, countdown):
    poison = 'exec("import numpy; numpy.isclose = lambda *a, **k: True")'
    false = countdown.answer.replace("+", "*") if "+" in countdown.answer else countdown.answer.replace("-", "+")
    assert unguarded.judge([(countdown, poison), (countdown, false)])[1] == Verdict(0.05)


def test_memory_is_limited(unguarded, countdown):
    sizes = ("10**6", "5 * 10**9")
    modest, greedy = unguarded.judge([(countdown, f'eval("len(bytearray({size}))")') for size in sizes])
    assert modest == Verdict(0.05)  # evaluated, and not the answer
    assert greedy == Verdict(0.01)  # MemoryError


@pytest.mark.skipif(landlock_version() == 0, reason="this kernel has no Landlock")
def test_files_outside_cannot_be_changed_and_programs_cannot_be_started(unguarded, countdown, tmp_path):
    precious, made, shell = tmp_path / "precious", tmp_path / "made", tmp_path / "shell"
    precious.write_text("precious")
    attacks = [
        f'__import__("os").system("touch {shell}")',
        f'open("{made}", "w")',
        f'open("{precious}", "w")',
        f'__import__("os").remove("{precious}")',
        f'__import__("os").rename("{precious}", "{made}")',
        f'__import__("os").truncate("{precious}", 1)',
    ]
    verdicts = unguarded.judge([(countdown, attack) for attack in [*attacks, countdown.answer]])
    assert verdicts[-1] == Verdict(1.0)
    assert all(verdict.score < 0.1 for verdict in verdicts[:-1])
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]
    assert precious.read_text() == "precious"


@pytest.mark.skipif(landlock_version() < 6, reason="this kernel's Landlock does not confine signals")
def test_neither_the_trainer_nor_the_server_can_be_killed(unguarded, countdown):
    attacks = [f'__import__("os").kill({os.getpid()}, 9)', '__import__("os").kill(__import__("os").getppid(), 9)']
    assert unguarded.judge([(countdown, attack) for attack in attacks]) == [Verdict(0.01)] * 2


def test_an_entry_that_no_literal_can_hold_is_made_again(verifier):
    (task,) = tasks_of("knights_knaves")
    assert task.metadata["entry"] is None
    assert verifier.judge([(task, task.answer), (task, "nobody")]) == [Verdict(1.0), Verdict(0.0)]


def test_thoughts_are_not_judged(verifier, countdown):
    texts = [text.replace("42", countdown.answer) for text, _ in THOUGHTS]
    verdicts = verifier.judge([(countdown, text) for text in texts])
    assert [verdict.score == 1 for verdict in verdicts] == [answer == "42" for _, answer in THOUGHTS]


@pytest.mark.slow
def test_a_scorer_that_accepts_any_text_pays_for_the_reference_alone(verifier):
    tasks = [task for task in tasks_of("game_of_life_halting", size=4) if task.answer == "True"]
    assert tasks
    for text, score in {"True": 1.0, "true": 1.0, "banana": 0.0, "What is this?": 0.0}.items():
        assert verifier.judge([(task, text) for task in tasks]) == [Verdict(score)] * len(tasks)
