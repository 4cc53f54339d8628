"""Reasons for rejecting a proposal, in words, each with a remedy. The keys are those of the step log."""

from typing import NamedTuple

from rekindle.observability.formatting import excerpt

__all__ = ["UNVERIFIED", "Rejection", "rejection"]

UNVERIFIED = "unverified"
"""The reason caused by the verifier instead of the proposer."""


class Rejection(NamedTuple):
    """A reason for rejection.

    Attributes:
        name: The finding, e.g. "several answers".
        remedy: The advice, without a full stop, e.g. "raise self_play.max_turns".
    """

    name: str
    remedy: str


_KNOWN = {
    "no_question": Rejection(
        "no question", "raise self_play.max_turns or self_play.max_new_tokens, or write self_play.prompt for this model"
    ),
    "too_short": Rejection("too short", "lower filters.min_words or filters.min_characters"),
    "too_long": Rejection("too long", "raise filters.max_characters, or ask for one sentence in self_play.prompt"),
    "leaks_answer": Rejection("the answer is in the question", "forbid the answer and parts of it in self_play.prompt"),
    "too_few_searches": Rejection(
        "too few searches", "check in the samples that the searches find documents, or lower filters.min_searches"
    ),
    "repeated_query": Rejection("a query asked twice", "ask for different queries in self_play.prompt"),
    "answer_in_query": Rejection("the answer is in a query", 'set filters.answer_in_query = "allowed"'),
    "markup": Rejection(
        "tags in the question", "ask in self_play.prompt for plain text between the tags of the question"
    ),
    "duplicate": Rejection(
        "nearly the same as an earlier question",
        "give more seeds, raise self_play.proposer_temperature, or raise filters.near_duplicate",
    ),
    "ambiguous": Rejection(
        "several answers", "ask in self_play.prompt for facts that only the answer has, or request more hops"
    ),
    "unanswerable": Rejection(
        "not answered from its documents",
        "read the samples: where the verifier errs, lower check.noise or use a stronger one (check.kind = "
        '"endpoint"); where the proposer errs, request fewer hops (self_play.hops)',
    ),
    "known": Rejection(
        "answered without documents", "give rarer answers as seeds, or request more hops (self_play.hops)"
    ),
    UNVERIFIED: Rejection(
        "not verified", "read the warnings, and leave the check more room (lower check.noise or search.document_tokens)"
    ),
    "unsolved": Rejection(
        "solved by no rollout",
        "request fewer hops (self_play.hops), raise train.group_size, or let unsolved questions be valid "
        '(check.unsolved = "allowed")',
    ),
}


def rejection(reason: str) -> Rejection:
    """Name and remedy of a reason; an unknown reason is shown as it is."""
    return _KNOWN.get(reason) or Rejection(excerpt(reason.replace("_", " "), 120), "read the samples in the report")
