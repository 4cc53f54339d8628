"""Guards of the scorers that evaluate answers: which scorers these are, and that no legitimate answer is refused."""

import ast
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rekindle.tasks.child_process import child_environment
from rekindle.tasks.reasoning_gym_main import make_dataset, make_entry
from rekindle.verifiers.guards import GUARDS, Guard, evaluated, is_algebra, is_arithmetic, is_literal
from rekindle.verifiers.scorers import REFUSED, admitted

reasoning_gym = pytest.importorskip("reasoning_gym")

EVALUATORS = {
    "eval",
    "exec",
    "compile",
    "__import__",
    "parse_expr",
    "parse_latex",
    "sympify",
    "lambdify",
    "literal_eval",
}
OWN_TEXT = {
    "arithmetic/basic_arithmetic.py": "its own expression, when an entry is made",
    "arithmetic/bitwise_arithmetic.py": "its own expression",
    "arithmetic/gsm_symbolic/generators_00_49.py": "fractions of its own, when an entry is made",
    "arithmetic/gsm_symbolic/generators_50_99.py": "fractions of its own, when an entry is made",
    "algorithmic/number_sorting.py": "the reference answer; the answer itself is JSON",
    "code/codeio.py": "the code of its own data, when an entry is made",
    "logic/propositional_logic.py": "parse_expr is a parser of its own for logical formulas",
}
"""Files of reasoning-gym that evaluate something else than answers."""
PROSE = [
    "The answer is 42.",
    "",
    " ",
    "I don't know",
    "2x + 1",
    "x^2",
    "1 2 3",
    "= 24",
    "24 = 1",
    "1 +",
    "a b",
    "42",
    "'",
]


def entries(name, items):
    dataset = make_dataset(name, {"seed": 7, "size": items})
    return dataset, [make_entry(dataset, index) for index in range(items)]


def calls(path):
    """Names of the functions that a file calls."""
    text = path.read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(text if any(name in text for name in EVALUATORS) else "")):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", None) or getattr(node.func, "attr", "")
            if isinstance(node.func, ast.Name) or name != "compile":  # re.compile
                yield name


def test_every_file_of_the_library_that_evaluates_text_is_known():
    root = Path(reasoning_gym.__file__).parent
    found = {str(path.relative_to(root)) for path in root.rglob("*.py") if EVALUATORS & set(calls(path))}
    guarded = {name for name in found if Path(name).stem in GUARDS}
    assert {Path(name).stem for name in guarded} == set(GUARDS)
    assert found - guarded == set(OWN_TEXT)


@pytest.mark.slow
def test_the_guarded_scorers_are_those_that_execute_an_answer(tmp_path):
    script = Path(__file__).with_name("evaluating_scorers.py")
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, check=True, env=child_environment(str(tmp_path))
    )
    assert set(json.loads(done.stdout.splitlines()[-1])) == set(GUARDS)


def test_a_mixture_evaluates_what_its_parts_do():
    parts = [{"name": "gcd", "weight": 1}, {"name": "countdown", "weight": 1}]
    assert evaluated("composite", {"datasets": parts}) == ["countdown"]
    assert evaluated("countdown", {}) == ["countdown"]
    assert evaluated("gcd", {}) == []
    dataset = make_dataset("composite", {"seed": 0, "size": 4, "datasets": parts})
    entry = next(
        entry for entry in (make_entry(dataset, index) for index in range(4)) if "expression" in entry["metadata"]
    )
    assert admitted("composite", "exit()", entry) == REFUSED
    assert admitted("composite", entry["answer"], entry) == entry["answer"]


def expression_variants(answer):
    """Other ways to write an expression."""
    yield from (answer, answer.replace(" ", ""), f"  {answer}\n", f"({answer})", f"+({answer})", f"-(-({answer}))")
    yield from (answer.replace(" ", "  "), f"0 + {answer}", f"{answer} * 1", f"1.0*({answer})", f"({answer})/1")
    yield re.sub(r"(\d+)", r"(\1)", answer)


def algebra_variants(answer):
    """Other ways to write a polynomial or an antiderivative."""
    yield from expression_variants(answer)
    without = answer.removesuffix(" + C")
    for constant in ("c", "K", "C1", "C_1", "const", "constant", "k", "pi", "E", "alpha", "2*C", "sqrt(2)", "1/3", "α"):
        yield f"{without} + {constant}"
    yield from (without, f"C + {without}", f"{without} - C", re.sub(r"\*\*(\d+)", r"**(\1)", answer))
    yield re.sub(r"(\d+)/(\d+)", r"Rational(\1, \2)", answer)
    yield from (answer.replace("log", "ln"), f"{answer} + 0.5[0]", f"{answer} + 2!/2")


def literal_variants(answer):
    """Other ways to write a board, a matrix or a list."""
    rows = [line.split() for line in answer.splitlines()]
    numbers = [[int(cell) if cell.isdigit() else cell for cell in row] for row in rows]
    for value in (
        rows,
        numbers,
        rows[0],
        numbers[0],
        list(answer),
        tuple(answer),
        answer,
        [tuple(row) for row in rows],
    ):
        yield from (repr(value), f" {value!r}\n", repr(value).replace(" ", ""), repr(value).replace("'", '"'))
        yield repr(value).replace("], [", "],\n [")
    yield from (answer, f"{answer}\n", f"  {answer}")


VARIANTS: dict[Guard, Callable[[str], Iterable[str]]] = {
    is_literal: literal_variants,
    is_arithmetic: expression_variants,
    is_algebra: algebra_variants,
}


@pytest.mark.parametrize("items", [4, pytest.param(60, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", GUARDS)
def test_no_reference_answer_and_no_variant_of_one_is_refused(name, items):
    guard = GUARDS[name]
    _, made = entries(name, items)
    variants = [(text, entry) for entry in made for text in VARIANTS[guard](entry["answer"]) if "Integral" not in text]
    assert [text for text, entry in variants if admitted(name, text, entry) != text] == []
    assert [entry["answer"] for entry in made if admitted(name, entry["answer"], entry) != entry["answer"]] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", GUARDS)
def test_a_refused_text_has_the_score_that_the_scorer_gives_it(name):
    dataset, made = entries(name, items=4)
    for entry in made:
        texts = [*PROSE, *VARIANTS[GUARDS[name]](entry["answer"])]
        texts = [text for text in texts if "Integral" not in text or text == entry["answer"]]
        given_scores = {text: dataset.score_answer(text, entry) for text in texts}
        assert given_scores == {text: dataset.score_answer(admitted(name, text, entry), entry) for text in texts}


NUMBERS = st.one_of(st.integers(0, 10_000).map(str), st.decimals(0, 999, places=2).map(str))
EXPRESSIONS = st.recursive(
    NUMBERS,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*/"), inner).map(" ".join),
        inner.map("({})".format),
        inner.map("-{}".format),
        st.tuples(inner.map("({})".format), st.integers(0, 9)).map(lambda both: f"{both[0]}**{both[1]}"),
    ),
    max_leaves=12,
)


@given(EXPRESSIONS)
def test_arithmetic_of_numbers_as_they_occur_is_never_refused(text):
    assert is_arithmetic(text, {}) or len(ast.dump(ast.parse(text))) > 2_000 or "**" in text
    assert is_algebra(text, {}) == is_arithmetic(text, {})


@settings(max_examples=50)
@given(st.text(max_size=60))
def test_a_text_that_a_guard_lets_pass_has_no_code(text):
    if is_arithmetic(text, {}) or is_algebra(text, {}):
        assert not set(text) & set("'\"`:;=\\{}@#&|~<>$")
        assert not re.search(r"[a-zA-Z_]\s*\.|\.\s*[a-zA-Z_]|__", text)
    if is_literal(text, {}):
        assert repr(ast.literal_eval(text.strip())) is not None


@given(st.from_regex(r"[a-z0-9_.()\[\]{}'\",:+*\- =]{1,40}", fullmatch=True))
def test_guards_raise_nothing(text):
    for guard in (is_arithmetic, is_algebra, is_literal):
        assert guard(text, {}) in {True, False}
