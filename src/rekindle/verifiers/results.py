r"""Rule of the maths verifier: the final answer must be a *result*, which equals the reference.

By the reference's form:

- a literal number: the answer states one literal number of the same value (``literals``, ``number_statements``);
- several literal numbers (``1, -2``, ``(3, 5)``): as many literals of the same values; in the same order where they
  stand in brackets;
- a letter of a multiple choice: that letter alone;
- anything else is symbolic: the wording is the same, or math-verify finds the values equal. A symbolic answer has no
  function (``\sin``, ``\binom``, ...), and no arithmetic between numbers, where the reference has none.

An answer that stands in the prompt is no result unless it is written as the reference is: ``3/4`` and ``0.75`` differ.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rekindle.verifiers.literals import LiteralNumber, read_literal, same_number
from rekindle.verifiers.multiple_choice import choice_of, chosen_letter
from rekindle.verifiers.number_statements import stated_numbers
from rekindle.verifiers.plain_text import compact, plain
from rekindle.verifiers.prompts import plain_prompt, prompt_formulas, prompt_literals
from rekindle.verifiers.statements import MOST_STATED, anchored, marked, math_parts, sentences_from_the_end

__all__ = ["RULE_VERSION", "Claim", "compare"]

RULE_VERSION = 2
"""Version of the rule; profiles by another version have other success rates."""

VARIABLE = r"\\?[a-zA-Z](?:_\{?\w{1,3}\}?)?(?:\(\w\))?"
ASSIGNED = re.compile(rf"\s*{VARIABLE}\s*=\s*(?!.*=)", re.DOTALL)
SEPARATORS = tuple(
    re.compile(rf"\s*(?:{comma}\s*(?:and\b|or\b)?|\b(?:and|or)\b)\s*") for comma in (r"(?:,(?=\s)|;)", "[,;]")
)
"""A comma in a number with thousands is no separator where others are followed by a space."""
WORDS = re.compile(r"[^\W\d_]+(?:[\s'’-]+[^\W\d_]+)*")
LONG_WORD = re.compile(r"(?<![\\\w])[^\W\d_]{3,}")
MOST_WORDS = 2
"""Most words in a formula beyond those of the reference."""
COMMAND = re.compile(r"\\[a-zA-Z]+")
SYMBOL = re.compile(r"(?<![a-zA-Z])[a-zA-Z](?![a-zA-Z])")
RELATION = re.compile(r"[=<>]|\\(?:in|le|ge|leq|geq|ne|neq|lt|gt)(?![a-zA-Z])")
DIGIT = re.compile(r"\d")
LISTING = re.compile(r",(?!\d{3}(?!\d))")
FUNCTION = re.compile(
    r"\\(?:sin|cos|tan|cot|sec|csc|arcsin|arccos|arctan|log|ln|exp|binom|dbinom|tbinom|choose|sum|prod|int|lim|det|gcd|lcm"
    r"|max|min|bmod|pmod|mod|lfloor|lceil|operatorname)(?![a-zA-Z])|!|\b(?:sin|cos|tan|log|ln|gcd|lcm|mod)\b"
)
ARITHMETIC = re.compile(r"(?<![\w.^\\])(?<![_^]\{)\d[\d.]*\s*[-+×]\s*\d[\d.]*(?!\s*[\w\\(^.])")
ATOM = re.compile(r"[^\W\d_]+|\d+|.", re.DOTALL)
FILLING = r"[\s${}]*"
"""What may stand between the atoms of a term without a meaning of its own."""
FILLING_SIGN = re.compile(r"[\s${}]")
OPERATOR = re.compile(r"[-+×*/^=<>|%\\_]")


@dataclass(frozen=True, slots=True)
class Claim:
    """A symbolic answer whose equality to a reference math-verify must decide.

    Attributes:
        said: The answer.
        reference: The reference answer.
        given: Formulas of the prompt. An answer that is one of them, apart from the order of its parts, and is not the
            reference, is wrong.
    """

    said: str
    reference: str
    given: tuple[str, ...]


def compare(text: str, reference: str, prompt: str = "", *, powers: bool = False) -> bool | Claim:
    """Compare the final answer of a text with a reference.

    Args:
        text: The part of a completion that is judged.
        reference: A reference answer, plain or LaTeX.
        prompt: The task's prompt.
        powers: Whether a power of whole numbers (``2^10``) counts as a number.

    Returns:
        Whether they are equal; a ``Claim`` where only algebra can tell.
    """
    bare = ASSIGNED.sub("", reference.strip().removesuffix("."), count=1)
    number = read_literal(bare, powers=powers)
    if number is not None:
        return _states(text, number, prompt, powers)
    if letter := choice_of(bare):
        return chosen_letter(text, prompt) == letter
    said = _said(text, prompt)
    if said is None or _wording(said) == _wording(reference):
        return said is not None
    if (wanted := _several(bare)) is not None:
        return _same_numbers(_several(said), wanted)
    hopeless = (_is_prose, _is_of_another_kind, _unfinished)
    if any(reason(said, reference) for reason in hopeless) or _stands_in(said, prompt):
        return False
    return Claim(said, reference, prompt_formulas(prompt))


# -- one number -------------------------------------------------------------------------------------------------------


def _states(text: str, reference: LiteralNumber, prompt: str, powers: bool) -> bool:
    stated = stated_numbers(text, prompt, powers=powers)
    right = [number for number in stated if same_number(number, reference)]
    if not right or all(_unsigned_form(number) == _unsigned_form(reference) for number in right):
        return bool(right) and not _equation_of_the_prompt(text, prompt)
    in_prompt = prompt_literals(prompt)
    return any(_unsigned_form(number) not in in_prompt for number in right)


def _unsigned_form(number: LiteralNumber) -> object:
    return number.form[0], tuple(abs(part) if index == 0 else part for index, part in enumerate(number.form[1]))


def _equation_of_the_prompt(text: str, prompt: str) -> bool:
    """Whether the answer is an equation that the prompt has, such as ``x^2 - x = 0`` for the reference 0."""
    said = _said(text, prompt)
    return said is not None and "=" in said and _stands_in(said, prompt)


# -- several numbers --------------------------------------------------------------------------------------------------

Numbers = tuple[str, Sequence[LiteralNumber]]
"""The brackets around numbers, ``""`` for none, and the numbers."""


def _several(text: str) -> Numbers | None:
    """The literal numbers of a list, a set, a tuple or an interval; None for other texts."""
    bare = plain(text).strip("$ .")
    brackets = ""
    if bare.startswith(r"\{") and bare.endswith(r"\}"):
        bare = bare[2:-2]
    elif bare[:1] in "([" and bare[-1:] in ")]" and len(bare) > 1:
        brackets, bare = bare[0] + bare[-1], bare[1:-1]
    return next(
        ((brackets, found) for separator in SEPARATORS if (found := _literals(separator.split(bare))) is not None), None
    )


def _literals(parts: Sequence[str]) -> Sequence[LiteralNumber] | None:
    r"""The numbers of ``1``, ``x = 2`` or ``\pm 3``; None where a part is something else, or variables differ."""
    if len({name[0].strip() for part in parts if (name := ASSIGNED.match(part))}) > 1:
        return None
    numbers: list[LiteralNumber] = []
    for part in parts:
        bare = ASSIGNED.sub("", part, count=1).strip()
        for sign in "+-" if bare.startswith(r"\pm") else " ":
            number = read_literal(bare.replace(r"\pm", sign, 1))
            if number is None:
                return None
            numbers.append(number)
    return numbers if len(numbers) > 1 else None


def _same_numbers(said: Numbers | None, wanted: Numbers) -> bool:
    if said is None or len(said[1]) != len(wanted[1]):
        return False
    if said[0] and wanted[0] and said[0] != wanted[0]:
        return False
    one, other = said[1], wanted[1]
    if not said[0] and not wanted[0]:
        one, other = (sorted(numbers, key=lambda number: number.value) for numbers in (one, other))
    return all(same_number(a, b) for a, b in zip(one, other, strict=True))


# -- symbolic answers -------------------------------------------------------------------------------------------------


def _said(text: str, prompt: str) -> str | None:
    """The final answer as it is written."""
    if (marks := marked(text)) is not None:
        return ", ".join(marks) or None
    said = anchored(text, prompt)
    if said is None:
        for sentence in sentences_from_the_end(text, prompt):
            if parts := math_parts(sentence):
                return ", ".join(parts)
        lines = text.strip().splitlines()
        said = lines[0] if len(lines) == 1 else ""
    parts = math_parts(said)
    return ", ".join(parts) if parts else (said.strip().rstrip(".!") or None) if len(said) <= MOST_STATED else None


def _wording(text: str) -> str:
    """The text as compared for the same wording; words are the same in any letter case."""
    bare = compact(text).strip(".,;:!'\"")
    return bare.casefold() if WORDS.fullmatch(plain(text).strip(" .,;:!'\"$")) and len(bare) > 1 else bare


def _is_prose(said: str, reference: str) -> bool:
    r"""Whether the reference is a word (``\text{east}``), or the answer a sentence: they have no value to work out."""
    bare = plain(reference).strip()
    if WORDS.fullmatch(bare) is not None and (len(bare) > 3 or r"\text" in reference):
        return True
    return len(LONG_WORD.findall(plain(said))) > MOST_WORDS + len(LONG_WORD.findall(bare))


def _is_of_another_kind(said: str, reference: str) -> bool:
    """Whether the answer has none of the reference's symbols, or lists several values where that is one."""
    here, there = (COMMAND.sub(" ", plain(text)) for text in (said, reference))
    wanted = set(SYMBOL.findall(there))
    if wanted and RELATION.search(plain(reference)) is None and not wanted & set(SYMBOL.findall(here)):
        return True
    if not wanted and DIGIT.search(there) and not DIGIT.search(here) and "\\" not in said:
        return True
    return LISTING.search(here) is not None and LISTING.search(there) is None and r"\pm" not in reference


def _unfinished(said: str, reference: str) -> bool:
    """Whether the answer has a function, or arithmetic between numbers, and the reference has none."""
    here, there = plain(said), plain(reference)
    return any(part.search(here) and not part.search(there) for part in (FUNCTION, ARITHMETIC))


def _stands_in(said: str, prompt: str) -> bool:
    """Whether an answer with an operator in it occurs in the prompt, as a whole term."""
    side = re.split(r"=(?!.*=)", said, maxsplit=1, flags=re.DOTALL)[-1]
    return any(_is_term_of(part, prompt) for part in (said, side.strip("()[]{} $")))


def _is_term_of(said: str, prompt: str) -> bool:
    atoms = [atom for atom in ATOM.findall(plain(said)) if not FILLING_SIGN.fullmatch(atom)]
    is_command = atoms[:1] == ["\\"] and len(atoms) > 2
    if not is_command and not any(OPERATOR.fullmatch(atom) for atom in atoms[1:]):
        return False
    term = FILLING.join(map(re.escape, atoms))
    return re.search(rf"(?<![^\W_]){term}(?![^\W_])", plain_prompt(prompt)) is not None
