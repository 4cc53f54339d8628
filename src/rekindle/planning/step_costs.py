"""Tokens and FLOPs of a step, from its groups and the lengths of prompts and responses."""

from dataclasses import dataclass

from rekindle.planning.signal import StepSignal
from rekindle.records.flops import flops

__all__ = ["RolloutLengths", "StepCosts", "costs_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutLengths:
    """Mean tokens of a rollout.

    Attributes:
        prompt: Of the prompt.
        sampled: Of what the policy samples.
        read: Of what others write into the rollout, such as documents.
    """

    prompt: float
    sampled: float
    read: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StepCosts:
    """Expected costs of a step.

    Attributes:
        rollouts: Rollouts of all groups asked for.
        sampled_tokens: Tokens that the policy samples.
        trained_rows: Rollouts in the update.
        update_tokens: Tokens of forward and backward: prompts, sampled tokens, and those that others wrote.
        flops: As rekindle's metrics count them, with the log-probabilities that are computed again before the update.
    """

    rollouts: float
    sampled_tokens: float
    trained_rows: float
    update_tokens: float
    flops: float


def costs_of(step: StepSignal, size: int, lengths: RolloutLengths, parameters: int) -> StepCosts:
    """The costs of a step with groups of ``size``, of which those with signal are trained on."""
    rollouts, rows = step.asked * size, step.trained * size
    sampled = rollouts * lengths.sampled
    update = rows * (lengths.prompt + lengths.sampled + lengths.read)
    forward = sampled + rollouts * lengths.read + step.asked * lengths.prompt + update
    return StepCosts(
        rollouts=rollouts,
        sampled_tokens=sampled,
        trained_rows=rows,
        update_tokens=update,
        flops=flops(parameters, forward=forward, trained=update),
    )
