"""Conversion of requests, groups and records to JSON values and back, for checkpoints.

The tokens of rollouts are columns beside them (``rollout_columns``). Checkpoints of format 1 have them in JSON.
"""

from dataclasses import asdict, fields
from typing import Any

from rekindle.scheduling.group_records import GroupRecord
from rekindle.scheduling.rollout_columns import NAMES, ReadColumns, RolloutColumns
from rekindle.types import Document, Fate, Group, GroupRequest, Outcome, Retrieval, Rollout

__all__ = [
    "group_from_json",
    "group_to_json",
    "record_from_json",
    "record_to_json",
    "request_from_json",
    "request_to_json",
    "rollout_from_json",
    "rollout_to_json",
]

VALUES = tuple(one.name for one in fields(Rollout) if one.name not in NAMES)
"""Fields of a rollout that are JSON values."""
PLACE = "place"
"""Entry of a rollout's values: its place in the columns."""
_OUTCOME_FIELDS = ("outcome", "previous_outcome", "first_outcome")


def request_to_json(request: GroupRequest) -> dict[str, Any]:
    """JSON values of a request."""
    return asdict(request)


def request_from_json(value: dict[str, Any]) -> GroupRequest:
    """Inverse of ``request_to_json``."""
    return GroupRequest(**value)


def group_to_json(group: Group, columns: RolloutColumns) -> dict[str, Any]:
    """JSON values of a group and all its rollouts, whose tokens are added to the columns."""
    return {
        "request": request_to_json(group.request),
        "rollouts": [rollout_to_json(rollout, columns) for rollout in group.rollouts],
        "outcome": group.outcome,
        "previous_outcome": group.previous_outcome,
        "first_outcome": group.first_outcome,
        "streak": group.streak,
        "beta": list(group.beta),
        "topped_up": [request_to_json(request) for request in group.topped_up],
    }


def group_from_json(value: dict[str, Any], columns: ReadColumns | None) -> Group:
    """Inverse of ``group_to_json``."""
    successes, failures = value["beta"]
    return Group(
        request=request_from_json(value["request"]),
        rollouts=tuple(rollout_from_json(rollout, columns) for rollout in value["rollouts"]),
        **_outcomes(value),
        streak=value["streak"],
        beta=(successes, failures),
        topped_up=tuple(request_from_json(request) for request in value["topped_up"]),
    )


def record_to_json(record: GroupRecord) -> dict[str, Any]:
    """JSON values of a group record."""
    return asdict(record)


def record_from_json(value: dict[str, Any]) -> GroupRecord:
    """Inverse of ``record_to_json``."""
    request, fate = request_from_json(value["request"]), Fate(value["fate"])
    return GroupRecord(**{**value, **_outcomes(value), "request": request, "fate": fate})


def _outcomes(value: dict[str, Any]) -> dict[str, Any]:
    return {name: None if value[name] is None else Outcome(value[name]) for name in _OUTCOME_FIELDS}


def rollout_to_json(rollout: Rollout, columns: RolloutColumns) -> dict[str, Any]:
    """JSON values of a rollout, whose tokens are added to the columns; floats survive JSON exactly."""
    values = {name: getattr(rollout, name) for name in VALUES}  # asdict would copy every number
    retrievals = [asdict(one) for one in rollout.retrievals]
    own = {"rewards": dict(rollout.rewards), "audits": dict(rollout.audits), "retrievals": retrievals}
    return {**values, **own, PLACE: columns.add(rollout)}


def rollout_from_json(value: dict[str, Any], columns: ReadColumns | None) -> Rollout:
    """Inverse of ``rollout_to_json``; None: there are no columns, and the tokens are among the values (format 1)."""
    own = dict(value)
    if columns is not None:
        own |= columns.at(own.pop(PLACE))
    return Rollout(**{**own, "retrievals": tuple(map(_retrieval_from_json, value["retrievals"]))})


def _retrieval_from_json(value: dict[str, Any]) -> Retrieval:
    return Retrieval(**{**value, "documents": tuple(Document(**document) for document in value["documents"])})
