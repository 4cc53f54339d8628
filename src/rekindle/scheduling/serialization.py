"""Conversion of requests, groups and records to JSON values and back, for checkpoints."""

from dataclasses import asdict, replace
from typing import Any

from rekindle.scheduling.group_records import GroupRecord
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

_OUTCOME_FIELDS = ("outcome", "previous_outcome", "first_outcome")


def request_to_json(request: GroupRequest) -> dict[str, Any]:
    """JSON values of a request."""
    return asdict(request)


def request_from_json(value: dict[str, Any]) -> GroupRequest:
    """Inverse of ``request_to_json``."""
    return GroupRequest(**value)


def group_to_json(group: Group) -> dict[str, Any]:
    """JSON values of a group and all its rollouts; floats survive JSON exactly."""
    return {
        "request": request_to_json(group.request),
        "rollouts": [rollout_to_json(rollout) for rollout in group.rollouts],
        "outcome": group.outcome,
        "previous_outcome": group.previous_outcome,
        "first_outcome": group.first_outcome,
        "streak": group.streak,
        "beta": list(group.beta),
        "topped_up": [request_to_json(request) for request in group.topped_up],
    }


def group_from_json(value: dict[str, Any]) -> Group:
    """Inverse of ``group_to_json``."""
    successes, failures = value["beta"]
    return Group(
        request=request_from_json(value["request"]),
        rollouts=tuple(rollout_from_json(rollout) for rollout in value["rollouts"]),
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


def rollout_to_json(rollout: Rollout) -> dict[str, Any]:
    """JSON values of a rollout; floats survive JSON exactly."""
    sequences = {name: list(getattr(rollout, name)) for name in ("token_ids", "loss_mask", "logprobs")}
    without = replace(rollout, token_ids=(), loss_mask=(), logprobs=())  # asdict would copy every number
    return {**asdict(without), **sequences}


def rollout_from_json(value: dict[str, Any]) -> Rollout:
    """Inverse of ``rollout_to_json``."""
    retrievals = tuple(_retrieval_from_json(retrieval) for retrieval in value["retrievals"])
    return Rollout(**{**value, "retrievals": retrievals})


def _retrieval_from_json(value: dict[str, Any]) -> Retrieval:
    return Retrieval(**{**value, "documents": tuple(Document(**document) for document in value["documents"])})
