"""Rule filters: what a question must satisfy before it is verified (SSP, arXiv 2510.18821)."""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from rekindle.environments.self_play.proposals import Proposal, Reason
from rekindle.environments.self_play.words import joined_words, split_words
from rekindle.tasks.task_set import normalized_prompt
from rekindle.verifiers.normalize import ARTICLES

__all__ = ["FilterLimits", "rejected"]


@dataclass(frozen=True, slots=True)
class FilterLimits:
    """Limits of the rule filters; the defaults are the paper's where it has any.

    Attributes:
        min_characters: Fewest characters, after Unicode NFC and with each run of white space as one.
        max_characters: Most characters.
        min_words: Fewest words; characters in scripts without spaces. The released code requires ten pieces between
            spaces, which no Chinese question has; the shortest question, a name and a relation, has three words.
        min_searches: Fewest searches that found a document that is not blank.
        answer_in_query: Whether the proposer may search for the answer itself, which is all it is given to begin with.
    """

    min_characters: int = 10
    max_characters: int = 1000
    min_words: int = 3
    min_searches: int = 1
    answer_in_query: bool = True


def rejected(proposal: Proposal, limits: FilterLimits) -> Reason | None:
    """The first reason, in the order of ``Reason``, to reject a proposal by rules alone; None if there is none.

    A text contains an answer if it contains the answer's letters and digits from the beginning of a word to the end of
    a word. Case, accents, width, punctuation, articles and the spaces between words do not matter; spaces between
    digits do. So "Paris-based" contains "Paris", "spider man" contains "Spider-Man" and "1000" contains "1,000", but
    "party" does not contain "art", nor "1/2" "12". In scripts without spaces every character is a word. Inflected words
    ("Parisian") and translations are not found.
    """
    return next(_objections(proposal, limits), None)


def _objections(proposal: Proposal, limits: FilterLimits) -> Iterator[Reason]:
    question = normalized_prompt(proposal.question or "")
    if not question:
        yield Reason.NO_QUESTION
    if len(question) < limits.min_characters or _word_count(question) < limits.min_words:
        yield Reason.TOO_SHORT
    if len(question) > limits.max_characters:
        yield Reason.TOO_LONG
    if _leaks(proposal.answers, question):
        yield Reason.LEAKS_ANSWER
    if proposal.searches < limits.min_searches:
        yield Reason.TOO_FEW_SEARCHES
    if len({joined_words(query) for query in proposal.queries}) < len(proposal.queries):
        yield Reason.REPEATED_QUERY
    if not limits.answer_in_query and any(_leaks(proposal.answers, query) for query in proposal.queries):
        yield Reason.ANSWER_IN_QUERY


def _word_count(text: str) -> int:
    return sum(any(map(str.isalnum, word)) for word in split_words(text))


# -- the answer in a text ----------------------------------------------------------------------------------------------


class _Line(NamedTuple):
    """Words joined without spaces, except between digits, and the positions where words begin and end."""

    letters: str
    begins: frozenset[int]
    ends: frozenset[int]


def _leaks(answers: Iterable[str], text: str) -> bool:
    """Whether a text contains one of the answers, in one of the readings of both."""
    lines = _readings(text)
    return any(_stands_in(answer, lines, text) for answer in answers)


def _stands_in(answer: str, lines: Iterable[_Line], text: str) -> bool:
    if not split_words(answer):
        return _marks_stand_in(answer, text)
    return any(_has(line, wanted.letters) for wanted, line in zip(_readings(answer), lines, strict=True))


def _readings(text: str) -> list[_Line]:
    """Three readings: as verifiers read it; with marks that end words ("Paris's"); and with articles ("The The")."""
    words = split_words(text)
    return [_line(joined_words(text)), _line(word for word in words if word not in ARTICLES), _line(words)]


def _line(words: Iterable[str]) -> _Line:
    letters, begins, ends = "", set(), set()
    for word in words:
        if letters[-1:].isdigit() and word[0].isdigit():
            letters += " "
        begins.add(len(letters))
        letters += word
        ends.add(len(letters))
    return _Line(letters, frozenset(begins), frozenset(ends))


def _has(line: _Line, letters: str) -> bool:
    """Whether a line contains the letters from the beginning of a word to the end of one; False for no letters."""
    at = line.letters.find(letters) if letters else -1
    while at >= 0 and not (at in line.begins and at + len(letters) in line.ends):
        at = line.letters.find(letters, at + 1)
    return at >= 0


def _marks_stand_in(answer: str, text: str) -> bool:
    """Whether a text contains an answer without words ("!!!"), not attached to a word ("Who?")."""
    marks, text = (" ".join(unicodedata.normalize("NFKC", one).split()) for one in (answer, text))
    return bool(marks) and re.search(rf"(?<!\w){re.escape(marks)}(?!\w)", text) is not None
