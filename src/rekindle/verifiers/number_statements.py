r"""The number that a text states as its result, as literals: ``42`` of ``17 + 25 = 42``, none of ``17 + 25``.

A chain of equalities states its last side, and nothing where that is an expression or where two sides are different
numbers (``6 = 5``). ``1/3 \approx 0.333`` states both. In sentences a result is the side after the last ``=``, else the
last number. Two numbers joined by *or*, *and* or a comma state no single number.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from rekindle.verifiers.literals import WHOLE, LiteralNumber, read_literal, same_number
from rekindle.verifiers.plain_text import plain
from rekindle.verifiers.prompts import plain_prompt, prompt_literals, words_of
from rekindle.verifiers.statements import MOST_STATED, anchored, marked, sentences_from_the_end
from rekindle.verifiers.units import SCALES, unit_of

__all__ = ["stated_numbers"]

EQUALS = re.compile(r"(?<![<>!:=\\])=(?!=)|≈")
TOKEN = re.compile(
    rf"(?P<number>{WHOLE}(?:\.\d+)?(?:[eE][-+]?\d+(?!\w))?|\.\d+)|(?P<word>[^\W\d_]+)|(?P<space>\s+)"
    r"|(?P<stop>[.,;!?'\"]+)|(?P<operator>.)",
    re.DOTALL,
)
TIMES = re.compile(r"(?<=\d)\s?[xX]\s?(?=\d)")
JOINED = re.compile(r"[\s,/]*(?:or|and|,)\s*(?:(?!not\b)[a-zA-Z]\w{0,2}\s*)?")
SEVERAL = re.compile(r"\b(?:or|and)\b|[,;](?!\d{3})")
DANGLING = re.compile(r"[-+×*/^]\s|[×*/^_]")
PERCENT_WORD = re.compile(r"percent|per|pct", re.IGNORECASE)
APPROXIMATE = Fraction(1, 100)
"""Largest relative difference of two numbers that are stated to be about the same."""
NEIGHBOURS = 2
"""Words before and after a number that are compared with the prompt."""
STATING = re.compile(r"(?:is|are|was|were|be|equals?|gives|makes|gets?|leaves|has|have)", re.IGNORECASE)
"""Words before a number of the prompt that make it a result."""


@dataclass(frozen=True, slots=True)
class _Run:
    """Numbers and operators in a sentence, without words between them."""

    start: int
    end: int
    text: str
    attached: bool
    """Whether it is a part of a word or an algebraic term, such as ``2x``."""


def stated_numbers(text: str, prompt: str, *, powers: bool = False) -> Sequence[LiteralNumber]:
    """The literal numbers that ``text`` states as its one result; several of them are forms of the same number.

    Args:
        text: The part of a completion that is judged.
        prompt: The task's prompt; a sentence of it states nothing.
        powers: See ``read_literal``.
    """
    if (parts := marked(text)) is not None:
        return _one_of([_chain(part, powers) for part in parts])
    if (said := anchored(text, prompt)) is not None:
        return _chain(said, powers) or _in_sentence(said, powers, prompt, first=True)
    for sentence in sentences_from_the_end(text, prompt):
        if any(map(str.isdigit, sentence)):
            return _chain(sentence, powers) or _in_sentence(sentence, powers, prompt, first=False)
    return ()


def _one_of(answers: Sequence[Sequence[LiteralNumber]]) -> Sequence[LiteralNumber]:
    """The answers of several boxes, where all of them are the same number."""
    if not answers or not all(answers):
        return ()
    return answers[-1] if all(same_number(one[-1], answers[-1][-1]) for one in answers) else ()


def _chain(text: str, powers: bool) -> Sequence[LiteralNumber]:
    """The numbers that a chain of equalities states; a chain may have one side."""
    if len(text) > MOST_STATED:
        return ()
    plainer = plain(text)
    texts = EQUALS.split(plainer)
    sides = [read_literal(side, powers=powers) for side in texts]
    last = sides[-1]
    if last is None or any(SEVERAL.search(side) for side in texts[1:-1]):
        return ()
    others = [side for side in sides[:-1] if side is not None]
    if "≈" in plainer:
        close = all(abs(side.value - last.value) <= abs(last.value) * APPROXIMATE for side in others)
        return [*others, last] if close else ()
    return [last] if all(same_number(side, last) for side in others) else ()


def _in_sentence(sentence: str, powers: bool, prompt: str, *, first: bool) -> Sequence[LiteralNumber]:
    """The number that a sentence states; ``first``: the first number of it, unless there is an equality."""
    text = TIMES.sub(" × ", plain(sentence[:MOST_STATED] if first else sentence[-MOST_STATED:]))
    runs = _runs(text)
    if not runs:
        return ()
    computed = [index for index, run in enumerate(runs) if "=" in run.text]
    chosen = computed[-1] if computed else (0 if first else len(runs) - 1)
    run = runs[chosen]
    if run.attached or _is_joined(text, runs, chosen) or _is_repeated(text, run, prompt):
        return ()
    result = read_literal(EQUALS.split(run.text.lstrip(": "))[-1], powers=powers)
    if result is None:
        return ()
    restated = not first and not computed and result.form in prompt_literals(prompt)
    return () if restated and not _is_stated(text[: run.start]) else [result]


def _is_repeated(text: str, run: _Run, prompt: str) -> bool:
    """Whether a number stands in the prompt between the same words."""
    before, after = text[: run.start].split()[-NEIGHBOURS:], text[run.end :].split()[:NEIGHBOURS]
    words = " ".join([*before, *text[run.start : run.end].split(), *after]).casefold().rstrip(".,;:!?")
    return len(before) + len(after) >= NEIGHBOURS and words in words_of(plain_prompt(prompt))


def _is_stated(before: str) -> bool:
    """Whether the words before a number say that it is a result; so does the beginning of the sentence."""
    words = before.replace("$", " ").split()
    return not words or STATING.fullmatch(words[-1]) is not None or words[-1].endswith((":", "="))


def _is_joined(text: str, runs: Sequence[_Run], chosen: int) -> bool:
    """Whether the chosen run is one of several alternatives, such as ``5`` in ``3 or 5``."""
    run = runs[chosen]
    chained = "=" in run.text.lstrip("= ")
    before = runs[chosen - 1] if chosen and not chained else None
    after = runs[chosen + 1] if chosen + 1 < len(runs) else None
    return (before is not None and JOINED.fullmatch(text[before.end : run.start]) is not None) or (
        after is not None and JOINED.fullmatch(text[run.end : after.start]) is not None
    )


def _runs(text: str) -> list[_Run]:
    """All runs of a sentence that have a number."""
    tokens = list(TOKEN.finditer(text))
    runs: list[_Run] = []
    index = 0
    while index < len(tokens):
        if tokens[index].lastgroup not in {"number", "operator"}:
            index += 1
            continue
        begin = index
        while index < len(tokens) and tokens[index].lastgroup in {"number", "operator", "space"}:
            index += 1
        last = index
        while tokens[last - 1].lastgroup == "space":
            last -= 1
        if any(token.lastgroup == "number" for token in tokens[begin:last]):
            runs.append(_run(text, tokens, begin, last))
    return runs


def _run(text: str, tokens: Sequence[re.Match[str]], begin: int, last: int) -> _Run:
    start, end = tokens[begin].start(), tokens[last - 1].end()
    before, after = text[:start], text[end:]
    inside = text[start:end]
    continues = before[-1:].isalnum() and (tokens[begin].lastgroup == "number" or inside[0] in "-+×*/^_")
    dangles = DANGLING.match(inside) is not None and bool(before.strip(" *:$")) and not inside.startswith("*")
    unit = ""
    attached = ((continues or dangles) and "=" not in inside) or "\\" in inside
    if following := re.match(r"\s*([^\W\d_]+)", after):
        word, spaced = following[1], after[:1].isspace()
        if word.lower() in SCALES or PERCENT_WORD.fullmatch(word):
            unit = " percent" if PERCENT_WORD.fullmatch(word) and word.lower() != "per" else f" {word}"
            unit = "" if word.lower() == "per" else unit
        elif unit_of(word):
            unit = f" {word}"
        elif not spaced:
            attached = True
    return _Run(start, end, inside + unit, attached)
