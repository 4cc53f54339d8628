"""Rules that a question must pass before anybody is asked about it (SSP, arXiv 2510.18821)."""

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
    """What a question must be; the defaults are the paper's where it has any.

    Attributes:
        min_characters: Fewest characters, after Unicode NFC and with runs of white space as one.
        max_characters: Most of them.
        min_words: Fewest words; characters where a script has no spaces. The released code wants ten pieces between
            spaces, which no Chinese question has; three are the name and the relation of the shortest question.
        min_searches: Fewest searches that found a document with something in it.
        answer_in_query: Whether the proposer may search for the answer itself, which is all it is given to begin with.
    """

    min_characters: int = 10
    max_characters: int = 1000
    min_words: int = 3
    min_searches: int = 1
    answer_in_query: bool = True


def rejected(proposal: Proposal, limits: FilterLimits) -> Reason | None:
    """The first reason, in the order of ``Reason``, to reject a proposal by rules alone; None if there is none.

    An answer stands in a text where its letters and digits do, from where a word begins to where one ends. Case,
    accents, width, punctuation, articles and the spaces between words do not matter, but those between digits do. So
    "Paris" stands in "Paris-based", "Spider-Man" in "spider man" and "1,000" in "1000", but "art" not in "party", nor
    "12" in "1/2". Where a script has no spaces, words begin and end with every character. The same letters in an
    inflected word ("Parisian") are not found, nor is a translation.
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
    """Words written without the spaces between them, but for those between digits."""

    letters: str
    begins: frozenset[int]
    ends: frozenset[int]


def _leaks(answers: Iterable[str], text: str) -> bool:
    """Whether one of the answers stands in a text, in one of the ways to read both."""
    lines = _readings(text)
    return any(_stands_in(answer, lines, text) for answer in answers)


def _stands_in(answer: str, lines: Iterable[_Line], text: str) -> bool:
    if not split_words(answer):
        return _marks_stand_in(answer, text)
    return any(_has(line, wanted.letters) for wanted, line in zip(_readings(answer), lines, strict=True))


def _readings(text: str) -> list[_Line]:
    """As verifiers read it; with marks that end words (the "Paris" of "Paris's"); and with articles ("The The")."""
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
    """Whether letters stand in a line from where a word begins to where one ends; none do not."""
    at = line.letters.find(letters) if letters else -1
    while at >= 0 and not (at in line.begins and at + len(letters) in line.ends):
        at = line.letters.find(letters, at + 1)
    return at >= 0


def _marks_stand_in(answer: str, text: str) -> bool:
    """For an answer that is no word ("!!!"): whether it stands there as it is, and not at a word ("Who?")."""
    marks, text = (" ".join(unicodedata.normalize("NFKC", one).split()) for one in (answer, text))
    return bool(marks) and re.search(rf"(?<!\w){re.escape(marks)}(?!\w)", text) is not None
