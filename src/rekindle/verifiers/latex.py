"""math-verify without its own time limit. Call it in worker processes only: a hostile answer can run for hours."""

import logging
from collections.abc import Sequence

__all__ = ["latex_equal"]

logging.getLogger("math_verify").setLevel(
    logging.ERROR
)  # silences the warning that its time limit is off; the worker has one


def latex_equal(text: str, answers: Sequence[str]) -> bool:
    """Whether math-verify finds the final answer of ``text`` equal to one of ``answers`` (LaTeX or plain).

    Raises:
        ValueError: math-verify can parse none of the reference answers.
    """
    from math_verify import parse, verify

    references = [parsed for answer in answers if (parsed := parse(f"\\boxed{{{answer}}}", parsing_timeout=None))]
    if not references:
        raise ValueError(f"math-verify cannot parse the reference answer {answers!r}")
    found = parse(text, parsing_timeout=None)
    return any(verify(reference, found, timeout_seconds=None) for reference in references)
