"""What TRL returns of a generation, read as rollouts."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import compress, pairwise
from typing import Any

from torch import Tensor

from rekindle.config.tables.task import TaskTable
from rekindle.integrations.steps import NO_REWARD
from rekindle.integrations.trl.sampling.rollouts import Played, Row
from rekindle.types import Rollout
from rekindle.verifiers.rewards import reward

__all__ = ["EXTRAS", "Judged", "Rewards", "rollouts_of"]

EXTRAS = ("importance_sampling_ratio", "old_per_token_logps", "sampling_per_token_logps")
"""Tensors of TRL's output with which its loss corrects for the engine, [rows, tokens] or [rows, 1]."""


@dataclass(frozen=True, slots=True)
class Rewards:
    """Reward functions of a trainer.

    Attributes:
        names: Their names.
        weights: Factor of each in the reward.
        task: Whether rewards are made 0 or 1, and the threshold.
    """

    names: Sequence[str]
    weights: Sequence[float]
    task: TaskTable

    def of(self, values: Sequence[float]) -> tuple[float | None, dict[str, float | None]]:
        """The reward, and each function's value by name; None where a function does not apply (NaN)."""
        known = [(value, weight) for value, weight in zip(values, self.weights, strict=True) if not math.isnan(value)]
        total = math.fsum(value * weight for value, weight in known) if known else None
        if total is not None:
            total = reward(total, self.task.binary_rewards, self.task.success_threshold)
        named = {name: None if math.isnan(value) else value for name, value in zip(self.names, values, strict=True)}
        return total, named


@dataclass(frozen=True, slots=True)
class Judged:
    """What TRL's reward functions saw, and what they returned.

    Attributes:
        prompts: Text or messages, by row.
        completions: Text or messages, by row.
        completion_ids: Token ids of the completions.
        rewards: [rows, functions], NaN where a function returned None.
    """

    prompts: Sequence[Any]
    completions: Sequence[Any]
    completion_ids: Sequence[Sequence[int]]
    rewards: Tensor


def rollouts_of(
    rows: Sequence[Row],
    output: dict[str, Tensor],
    judged: Judged,
    rewards: Rewards,
    ends: Sequence[int],
    *,
    extras: Sequence[str],
) -> list[Played]:
    """The rollouts of some rows.

    Args:
        rows: The rows.
        output: Result of TRL's ``_generate_and_score_completions`` for them.
        judged: What the reward functions saw.
        rewards: The reward functions.
        ends: Token ids of which one ends a completion that is not truncated.
        extras: Names of the tensors to keep beside, of ``EXTRAS``.
    """
    values = judged.rewards.tolist()
    kept = {name: output[name].tolist() for name in extras if name in output}
    prompts = [list(compress(ids, mask)) for ids, mask in _lists(output, "prompt_ids", "prompt_mask")]
    sampled = output["tool_mask"].tolist() if "tool_mask" in output else None
    logprobs = output["sampling_per_token_logps"].tolist() if "sampling_per_token_logps" in output else None
    found = []
    for place, row in enumerate(rows):
        completion = list(judged.completion_ids[place])
        length = len(completion)
        mask = [True] * length if sampled is None else [bool(one) for one in sampled[place][:length]]
        score, parts = rewards.of(values[place])
        rollout = Rollout(
            token_ids=prompts[place] + completion,
            loss_mask=[False] * len(prompts[place]) + mask,
            logprobs=[0.0] * len(prompts[place]) + _logprobs(logprobs and logprobs[place], mask),
            reward=score or 0.0,
            temperature=row.request.temperature,
            version=row.request.version,
            truncated=not completion or completion[-1] not in ends,
            text=_text(judged.completions[place], "assistant"),
            turns=1 + sum(one and not before for before, one in pairwise(mask)),
            failure=NO_REWARD if score is None else None,
            void=score is None,
            transcript=_transcript(judged.completions[place]),
            rewards=parts,
        )
        own = {name: numbers[place][:length] for name, numbers in kept.items()}
        found.append(Played(rollout, judged.prompts[place], judged.completions[place], own))
    return found


def _lists(output: dict[str, Tensor], *names: str) -> list[tuple[Any, ...]]:
    return list(zip(*(output[name].tolist() for name in names), strict=True))


def _logprobs(values: Sequence[float] | None, mask: Sequence[bool]) -> list[float]:
    """Log-probabilities of the sampled tokens, 0.0 for others; a number that an engine could not give is 0.0 too."""
    if values is None:
        return [0.0] * len(mask)
    return [
        value if one and not math.isnan(value) else 0.0 for value, one in zip(values[: len(mask)], mask, strict=True)
    ]


def _text(completion: Any, role: str) -> str:
    """What the policy wrote: a text, or the contents of its messages."""
    if isinstance(completion, str):
        return completion
    return "\n".join(_content(one) for one in completion if one.get("role") == role)


def _transcript(completion: Any) -> str:
    """A conversation with its tools, for people; empty where the completion is one text."""
    if isinstance(completion, str) or len(completion) < 2:
        return ""
    return "\n".join(f"{one.get('role')}: {_content(one)}" for one in completion)


def _content(message: Any) -> str:
    calls = [_call(one.get("function", one)) for one in message.get("tool_calls") or ()]
    return "\n".join(filter(None, [str(message.get("content") or ""), *calls]))


def _call(function: Mapping[str, Any]) -> str:
    """A call of a tool as people write it: ``add(a=1, b=2)``."""
    given = function.get("arguments")
    if isinstance(given, Mapping):
        given = ", ".join(f"{name}={value!r}" for name, value in given.items())
    return f"{function.get('name')}({given or ''})"
