"""Why proposals of self-play are rejected, in words, and what helps. The keys are those of the step log."""

from typing import NamedTuple

from rekindle.observability.formatting import excerpt

__all__ = ["UNVERIFIED", "Rejection", "rejection"]

UNVERIFIED = "unverified"
"""The reason that is the verifier's and not the proposer's."""


class Rejection(NamedTuple):
    """A reason.

    Attributes:
        name: Says what was found, e.g. "several answers".
        remedy: A sentence without its end, e.g. "raise self_play.max_turns".
    """

    name: str
    remedy: str


_KNOWN = {
    "no_question": Rejection(
        "no question", "raise self_play.max_turns or self_play.max_new_tokens, or write self_play.prompt for this model"
    ),
    "too_short": Rejection("too short", "lower filters.min_words or filters.min_characters"),
    "too_long": Rejection("too long", "raise filters.max_characters, or ask for one sentence in self_play.prompt"),
    "leaks_answer": Rejection(
        "the answer stands in the question", "say in self_play.prompt that neither the answer nor a part of it may"
    ),
    "too_few_searches": Rejection(
        "too few searches", "see in the samples whether the searches find anything, or lower filters.min_searches"
    ),
    "repeated_query": Rejection("a query asked twice", "ask for different queries in self_play.prompt"),
    "answer_in_query": Rejection("the answer stands in a query", 'set filters.answer_in_query = "allowed"'),
    "markup": Rejection(
        "tags stand in the question", "ask in self_play.prompt for plain text between the tags of the question"
    ),
    "duplicate": Rejection(
        "nearly the same as an earlier question",
        "give more seeds, raise self_play.proposer_temperature, or raise filters.near_duplicate",
    ),
    "ambiguous": Rejection(
        "several answers", "ask in self_play.prompt for what only the answer has, or wish for more hops"
    ),
    "unanswerable": Rejection(
        "not answered from its documents",
        "see in the samples who errs: for a weak verifier lower check.noise or use a stronger one (check.kind = "
        '"endpoint"), for a weak proposer wish for fewer hops (self_play.hops)',
    ),
    "known": Rejection(
        "answered without documents", "give rarer answers as seeds, or wish for more hops (self_play.hops)"
    ),
    UNVERIFIED: Rejection(
        "not verified", "see the warnings, and leave the check more room (lower check.noise or search.document_tokens)"
    ),
}


def rejection(reason: str) -> Rejection:
    """The words for a reason; one that is unknown here is its own name."""
    return _KNOWN.get(reason) or Rejection(excerpt(reason.replace("_", " "), 120), "see the samples in the report")
