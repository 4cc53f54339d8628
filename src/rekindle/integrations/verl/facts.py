"""The facts of a rollout that verl has no field for, as JSON values in ``extra_fields`` of its trajectory, and back."""

from collections.abc import Mapping
from typing import Any

from rekindle.types import Document, Retrieval, Rollout

__all__ = ["COUNTS", "rollout_facts", "rollout_fields"]

NAMES = (
    "truncated",
    "text",
    "turns",
    "failure",
    "void",
    "transcript",
    "retrievals",
    "rewards",
    "audits",
    "final",
)
"""Fields of a ``Rollout`` that are facts; the others are verl's own: tokens, mask, log-probabilities and reward."""

COUNTS = "counts"
"""Further fact: counts of the events of its conversation, by their key in the metrics."""


def rollout_facts(rollout: Rollout) -> dict[str, Any]:
    """The facts of a rollout."""
    found = {name: getattr(rollout, name) for name in NAMES}
    return found | {
        "retrievals": [_retrieval_to_json(one) for one in rollout.retrievals],
        "rewards": dict(rollout.rewards),
        "audits": dict(rollout.audits),
    }


def rollout_fields(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of the ``Rollout`` with these facts; a fact that is missing gives no field."""
    found = {name: facts[name] for name in NAMES if name in facts}
    if "retrievals" in found:
        found["retrievals"] = tuple(map(_retrieval, found["retrievals"]))
    return found


def _retrieval_to_json(one: Retrieval) -> list[Any]:
    return [one.turn, one.query, [[document.id, document.title, document.text] for document in one.documents]]


def _retrieval(value: list[Any]) -> Retrieval:
    turn, query, documents = value
    return Retrieval(turn, query, tuple(Document(*one) for one in documents))
