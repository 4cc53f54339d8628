"""Guards of the scorers that evaluate an answer as Python code: what cannot be an answer is never evaluated.

Nine scorers of reasoning-gym call ``eval``, or sympy's ``parse_expr``, which does. Four of them accept a Python literal
in place of the plain answer; for these, a text must be a literal, or the reference answer itself. Five take an
arithmetic or algebraic expression; for these, a text must consist of numbers, operators, parentheses and known names.
An expression is also refused if its numbers would be too large (``MAX_BITS``, ``MAX_ARGUMENT_BITS``, ``LONG_NUMBER``).
"""

import ast
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["GUARDS", "Guard", "evaluated", "is_algebra", "is_arithmetic", "is_literal"]

MAX_LITERAL = 200_000
"""Most characters of a literal; a spiral of 100 x 100 numbers has 30,000."""
MAX_EXPRESSION = 10_000
MAX_BITS = 20_000.0
"""Most bits of a number in an expression; a reference answer has about a hundred."""
MAX_ARGUMENT_BITS = 2_000.0
"""Most bits of a function's argument, which sympy may have to factor or to compute with."""

FUNCTIONS = frozenset(
    [
        *(
            "sqrt",
            "cbrt",
            "root",
            "exp",
            "log",
            "ln",
            "Abs",
            "abs",
            "sign",
            "Rational",
            "Integer",
            "factorial",
            "gamma",
        ),
        *("sin", "cos", "tan", "cot", "sec", "csc", "asin", "acos", "atan", "acot", "asec", "acsc"),
        *("sinh", "cosh", "tanh", "coth", "sech", "csch", "asinh", "acosh", "atanh", "acoth", "asech", "acsch"),
        *("erf", "erfi", "erfc", "Ei", "li", "Si", "Ci"),
    ]
)
"""Functions of sympy that an antiderivative or a polynomial may call; their arguments are expressions too."""
SYMBOL = re.compile(
    r"(?:[A-Za-zα-ω]_?\d{0,2}|pi|alpha|beta|delta|epsilon|eta|gamma|kappa|mu|nu|omega|phi|psi|rho|sigma|tau|theta|xi|zeta"
    r"|[Cc]onst(?:ant)?)"
)
"""Names of variables and of the constant of integration, with sympy's ``E``, ``I`` and ``pi``."""
ARITHMETIC = re.compile(r"[0-9.+\-*/%()\s]*")
ALGEBRA = re.compile(r"[0-9A-Za-zα-ω_.+\-*/%!(),\[\]\s]*")
REPEATED = re.compile(r"(?<!\d)(\d*\.\d*)\[(\d+)\]")
"""Sympy's repeated decimals: ``0.2[1]`` is 0.2111..."""
LONG_NUMBER = re.compile(r"[\d._]{601}|(?<=[\d._])[eE][+-]?[0_]*[1-9][\d_]{3}")
"""More than 600 digits, or an exponent from 1,000: Python reads ``1e-99999999999`` as 0, but sympy computes it."""
FACTORIAL = "_factorial"

Guard = Callable[[str, Mapping[str, Any]], bool]
"""(answer, entry of the data set) -> whether its scorer may evaluate the answer."""


def is_literal(text: str, entry: Mapping[str, Any]) -> bool:
    """Whether a text is a Python literal, or a correct answer word for word."""
    if _is_known(text, entry):
        return True
    if len(text) > MAX_LITERAL:
        return False
    try:
        ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return False
    return True


def is_arithmetic(text: str, entry: Mapping[str, Any]) -> bool:
    """Whether a text is an expression of numbers and ``+ - * / // % **``."""
    return ARITHMETIC.fullmatch(text) is not None and _is_bounded(text, frozenset())


def is_algebra(text: str, entry: Mapping[str, Any]) -> bool:
    """Whether a text is an expression that may also have variables, factorials and functions of ``FUNCTIONS``.

    Some reference answers of ``intermediate_integration`` have an integral left; they are accepted word for word. In
    any other answer an integral repeats the question, and is refused, although the scorer would accept it.
    """
    if _is_known(text, entry):
        return True
    if ALGEBRA.fullmatch(text) is None:
        return False
    metadata = entry.get("metadata", {})
    return _is_bounded(text, frozenset([str(metadata.get("variable")), *map(str, metadata.get("variables", ()))]))


GUARDS: Mapping[str, Guard] = {
    "binary_matrix": is_literal,
    "n_queens": is_literal,
    "spiral_matrix": is_literal,
    "string_insertion": is_literal,
    "countdown": is_arithmetic,
    "puzzle24": is_arithmetic,
    "intermediate_integration": is_algebra,
    "polynomial_multiplication": is_algebra,
    "simple_integration": is_algebra,
}
"""The guard of each data set of reasoning-gym whose scorer evaluates answers; a test compares it with the library."""

COMPOSITE = "composite"
"""The data set of reasoning-gym that mixes others, and scores with theirs."""


def evaluated(name: str, params: Mapping[str, Any]) -> list[str]:
    """Data sets whose scorers evaluate answers, among a data set of reasoning-gym and those that it mixes.

    Args:
        name: The data set.
        params: Its parameters; the parts of ``composite`` are under ``datasets``.
    """
    parts = [name]
    if name == COMPOSITE:
        parts = [str(part.get("name")) for part in params.get("datasets", ()) if isinstance(part, Mapping)]
    return [part for part in dict.fromkeys(parts) if part in GUARDS]


def _is_known(text: str, entry: Mapping[str, Any]) -> bool:
    """Whether a text is one of the correct answers that the entry has, up to white space around it."""
    known = (entry.get("answer"), *entry.get("metadata", {}).get("valid_answers", ()))
    return text.strip() in [one.strip() for one in known if isinstance(one, str)]


# -- expressions -------------------------------------------------------------------------------------------------------


def _is_bounded(text: str, variables: frozenset[str]) -> bool:
    """Whether a text parses, has nothing but arithmetic in it, and no number that is too large."""
    if not text.strip() or len(text) > MAX_EXPRESSION:
        return False
    plain = REPEATED.sub(r"\1\2", text.strip()).replace("!", f"**{FACTORIAL}")
    if LONG_NUMBER.search(plain):
        return False
    try:
        return _bits(ast.parse(plain, mode="eval").body, variables) <= MAX_BITS
    except (_RefusedError, SyntaxError, ValueError, OverflowError, MemoryError, RecursionError):
        return False


class _RefusedError(Exception):
    """An expression has a part that no answer has."""


def _bits(node: ast.expr, variables: frozenset[str]) -> float:  # noqa: PLR0911 (one for each kind of part)
    """An upper bound of the size of an expression's numbers, in bits of numerator and denominator; symbols count 0."""
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return _number_bits(value)
        case ast.Name(id=name) if name in variables or SYMBOL.fullmatch(name):
            return 0.0
        case ast.UnaryOp(op=ast.UAdd() | ast.USub(), operand=operand):
            return _bits(operand, variables)
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in FUNCTIONS and arguments:
            return _call_bits(name, [_bits(argument, variables) for argument in arguments])
        case ast.BinOp(left=left, op=ast.Pow(), right=ast.Name(id=name)) if name == FACTORIAL:
            return _call_bits("factorial", [_bits(left, variables)])
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            return _power_bits(_bits(left, variables), _bits(right, variables))
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub() | ast.Mult() | ast.Div() | ast.FloorDiv() | ast.Mod()):
            return _bits(left, variables) + _bits(node.right, variables) + 1
    raise _RefusedError


def _number_bits(value: float) -> float:
    """Bits of a whole number, or of a float's exponent; infinite where it is out of range."""
    if isinstance(value, int):
        return float(value.bit_length())
    return 1 + abs(math.log2(abs(value))) if value and math.isfinite(value) else abs(value)


def _power_bits(base: float, exponent: float) -> float:
    return max(base, 1.0) * math.pow(2.0, min(exponent, 64.0))


def _call_bits(name: str, arguments: list[float]) -> float:
    """Bits of a function's value: sympy leaves it as it is, unless it is a number as in ``sqrt(4)``."""
    largest = max(arguments)
    if sum(arguments) > MAX_ARGUMENT_BITS:
        raise _RefusedError
    if name in {"factorial", "gamma"}:
        return math.pow(2.0, min(largest, 64.0)) * max(largest, 1.0)
    return sum(arguments) + 1
