r"""math-verify on one answer, without its own time limit.

Call it in worker processes only: a hostile answer can run for hours.

math-verify rounds decimals to six places, so that ``0.00000002`` equals ``0.00000001``. Here they are rounded to six
significant digits of the smallest number in the reference.
"""

import logging
from collections.abc import Sequence
from math import floor, log10
from typing import Any

__all__ = ["latex_equal"]

logging.getLogger("math_verify").setLevel(
    logging.ERROR
)  # silences the warning that its time limit is off; the worker has one

PLACES = 6
MOST_PLACES = 60


def latex_equal(said: str, references: Sequence[str], given: Sequence[str]) -> bool:
    """Whether math-verify finds an answer equal to one of the references (all LaTeX or plain, without a box).

    Args:
        said: The answer.
        references: Reference answers.
        given: Formulas of the prompt; an answer that has the structure of one of them, and not that of the reference,
            was not worked out.

    Raises:
        ValueError: math-verify can parse none of the references.
    """
    from math_verify import verify

    accepted = [wanted for reference in references if (wanted := _parsed(reference))]
    if not accepted:
        raise ValueError(f"math-verify cannot parse the reference answer {references!r}")
    found = _parsed(said)
    return any(
        verify(wanted, found, float_rounding=_places(wanted[0]), timeout_seconds=None)
        and (_alike(found, wanted) or not any(_alike(found, _parsed(formula)) for formula in given))
        for wanted in accepted
    )


def _alike(one: Sequence[Any], other: Sequence[Any]) -> bool:
    """Whether two parsed formulas have the same structure; sympy orders the parts of sums and products."""
    return bool(one and other) and _ordered(one[0]) == _ordered(other[0])


def _ordered(expression: Any) -> Any:
    side = getattr(expression, "rhs", expression)
    return side.doit() if hasattr(side, "doit") else side


def _parsed(answer: str) -> list[Any]:
    from math_verify import parse

    return list(parse(f"\\boxed{{{answer}}}", parsing_timeout=None))


def _places(reference: Any) -> int:
    """Decimal places that keep six significant digits of every number in the reference."""
    sizes = [abs(float(part)) for part in _numbers(reference)]
    smallest = min((size for size in sizes if size > 0), default=1.0)
    return min(MOST_PLACES, PLACES + max(0, -floor(log10(smallest))))


def _numbers(expression: Any) -> list[Any]:
    """Real values of an expression: its own, or those of its parts."""
    if hasattr(expression, "shape"):
        return [number for part in expression for number in _numbers(part)]
    if getattr(expression, "is_number", False):
        return [expression.evalf()] if expression.is_real else []
    return [number for part in getattr(expression, "args", ()) for number in _numbers(part)]
