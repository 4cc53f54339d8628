"""Construction of groups from requests and their rollouts."""

from collections.abc import Sequence
from dataclasses import replace

from rekindle.scheduling.history import Knowledge
from rekindle.types import Group, GroupRequest, Rollout, outcome_of

__all__ = ["extended", "new_group"]


def new_group(request: GroupRequest, rollouts: Sequence[Rollout], known: Knowledge, success_at: float) -> Group:
    """The group of a prompt's first request in a step.

    Args:
        request: The request.
        rollouts: [n] its rollouts.
        known: The prompt's record before this visit.
        success_at: A reward of at least this much is a success.
    """
    return Group(
        request=request,
        rollouts=tuple(rollouts),
        outcome=outcome_of([rollout.reward for rollout in rollouts], success_at),
        previous_outcome=known.last_outcome,
        first_outcome=known.first_outcome,
        streak=known.streak,
        beta=known.beta,
    )


def extended(group: Group, request: GroupRequest, rollouts: Sequence[Rollout], success_at: float) -> Group:
    """The group extended by the rollouts of a further request for the same prompt."""
    together = (*group.rollouts, *rollouts)
    return replace(
        group,
        rollouts=together,
        outcome=outcome_of([rollout.reward for rollout in together], success_at),
        topped_up=(*group.topped_up, request),
    )
