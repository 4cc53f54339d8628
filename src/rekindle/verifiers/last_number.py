"""The last number as an audit of mathematics: strict, short, and independent of the rule that it audits.

A completion is right where the last number written in it has the value of the reference. Nothing is worked out: an
operand of an expression is no result (``17 + 25`` states neither 42 nor 25), and a fraction counts as one number only
where the reference is a fraction, written in lowest terms. Sentences of the prompt are left out, so that repeating the
question states nothing. Where the reference is no number, the audit does not apply.
"""

import re
from collections.abc import Sequence
from fractions import Fraction

from rekindle.types import Task
from rekindle.verifiers.completions import final_answer
from rekindle.verifiers.literals import read_literal
from rekindle.verifiers.plain_text import plain
from rekindle.verifiers.statements import sentences_from_the_end
from rekindle.verifiers.verifier import Verdict

__all__ = ["LastNumberVerifier", "last_number"]

FRACTION = re.compile(r"(?<![\d./])(?P<sign>-?)\s*(?P<top>\d+)\s*/\s*(?P<bottom>\d+)(?![\d/])")
NUMBER = re.compile(r"-?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|-?\.\d+")
OPERATOR_BEFORE = re.compile(r"(?:[+*/×÷]|[\^_]\s*\{?|[\w)}\]]\s*-)\s*$")
MINUS_AFTER = re.compile(r"[\w)}\]]\s*$")
"""What stands before a minus that is an operator, and no sign."""
MOST_READ = 2000
"""Characters of a sentence that are searched, from its end."""


def last_number(text: str, answers: str | Sequence[str], prompt: str = "") -> float | None:
    """1.0 where the last number of a completion is one of ``answers``, else 0.0; None where none of them is a number.

    Args:
        text: A completion.
        answers: The reference answer, or several accepted ones.
        prompt: What was asked.
    """
    accepted = [answers] if isinstance(answers, str) else answers
    read = (read_literal(answer.strip().removesuffix(".")) for answer in accepted)
    values = {number.value for number in read if number is not None}
    if not values:
        return None
    for sentence in sentences_from_the_end(final_answer(text), prompt):
        plainer = plain(sentence[-MOST_READ:])
        if any(map(str.isdigit, plainer)):
            return float(any(_ends_with(plainer, value) for value in values))
    return 0.0


def _ends_with(sentence: str, value: Fraction) -> bool:
    """Whether the last number of a sentence has a value."""
    if value.denominator > 1 and (fractions := list(FRACTION.finditer(sentence))):
        last = fractions[-1]
        if not NUMBER.search(sentence, last.end()):
            top = -int(last["top"]) if last["sign"] else int(last["top"])
            exact = (top, int(last["bottom"])) == (value.numerator, value.denominator)
            return exact and not OPERATOR_BEFORE.search(sentence[: last.start()])
    numbers = list(NUMBER.finditer(sentence))
    if not numbers:
        return False
    last, before = numbers[-1], sentence[: numbers[-1].start()]
    subtracted = last.group().startswith("-") and MINUS_AFTER.search(before)
    if subtracted or OPERATOR_BEFORE.search(before):
        return False
    return Fraction(last.group().replace(",", "")) == value


class LastNumberVerifier:
    """Verifier: ``last_number`` of completions; without a number as reference the failure ``"error"``."""

    def judge(self, items: Sequence[tuple[Task, str]]) -> list[Verdict]:
        """See ``Verifier.judge``."""
        scores = [last_number(text, task.answer, task.prompt) for task, text in items]
        return [Verdict(0.0, "error") if score is None else Verdict(score) for score in scores]

    def close(self) -> None:
        """Do nothing; there is nothing to close."""
