"""math-verify, called without its own time limit. For worker processes: a hostile answer can keep it busy for hours."""

import logging
from collections.abc import Sequence

__all__ = ["latex_equal"]

logging.getLogger("math_verify").setLevel(logging.ERROR)  # it warns that its time limit is off; the worker's is on


def latex_equal(text: str, answers: Sequence[str]) -> bool:
    """Say whether math-verify finds ``text``'s final answer equal to one of ``answers`` (LaTeX or plain).

    Raises:
        ValueError: It cannot parse any of the reference answers.
    """
    from math_verify import parse, verify

    references = [parsed for answer in answers if (parsed := parse(f"\\boxed{{{answer}}}", parsing_timeout=None))]
    if not references:
        raise ValueError(f"math-verify cannot parse the reference answer {answers!r}")
    found = parse(text, parsing_timeout=None)
    return any(verify(reference, found, timeout_seconds=None) for reference in references)
