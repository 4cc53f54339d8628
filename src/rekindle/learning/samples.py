"""Groups of rollouts become training samples: advantages from the rewards, weights from the lengths."""

import math
from collections.abc import Sequence

from rekindle.learning.aggregation import Aggregation
from rekindle.learning.estimators import Estimator
from rekindle.types import Group, Rollout, TrainingSample

__all__ = ["build_samples"]


def build_samples(groups: Sequence[Group], *, estimator: Estimator, aggregation: Aggregation) -> list[TrainingSample]:
    """Say what the trainer has to know of each rollout, group after group in the order given.

    Every group listed counts in the denominators, those without signal too (their advantage is 0); a group that is not
    listed does not exist. Rollouts of one group share ``prompt_key``.

    Raises:
        ValueError: A reward is not a finite number.
    """
    _check_rewards(groups)
    rollouts = [rollout for group in groups for rollout in group.rollouts]
    members = [index for index, group in enumerate(groups) for _ in group.rollouts]
    weights = aggregation([rollout.generated_tokens for rollout in rollouts], members)
    advantages = _advantages(groups, estimator)
    return [
        _sample(rollout, advantage, weight, groups[member].request.id)
        for rollout, advantage, weight, member in zip(rollouts, advantages, weights, members, strict=True)
    ]


def _check_rewards(groups: Sequence[Group]) -> None:
    for group in groups:
        for reward in group.rewards:
            if not math.isfinite(reward):
                raise ValueError(
                    f"a rollout of task {group.request.task_id!r} has reward {reward}; "
                    "its verifier must return a finite number"
                )


def _advantages(groups: Sequence[Group], estimator: Estimator) -> list[float]:
    if estimator.scope == "batch":
        return estimator.function([reward for group in groups for reward in group.rewards])
    return [advantage for group in groups for advantage in estimator.function(group.rewards)]


def _sample(rollout: Rollout, advantage: float, weight: float, prompt_key: int) -> TrainingSample:
    return TrainingSample(
        token_ids=rollout.token_ids,
        loss_mask=rollout.loss_mask,
        logprobs=rollout.logprobs,
        advantages=[advantage if trainable else 0.0 for trainable in rollout.loss_mask],
        temperature=rollout.temperature,
        weight=weight,
        version=rollout.version,
        prompt_key=prompt_key,
    )
