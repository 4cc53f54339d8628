"""Group records: one numeric row per request with a final fate, and the counts of a step."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from rekindle.types import Fate, Group, GroupRequest, Outcome, Rollout

__all__ = ["GroupRecord", "Source", "failure_record", "records_of", "step_counts"]

Source = Literal["fresh", "rescued_hard", "rescued_easy", "returned"]
"""Class of a trained group by its prompt's first outcome: none (fresh), all wrong, all correct, mixed (returned)."""

_SOURCE_OF_FIRST_OUTCOME: dict[Outcome | None, Source] = {
    None: "fresh",
    Outcome.ALL_WRONG: "rescued_hard",
    Outcome.ALL_CORRECT: "rescued_easy",
    Outcome.MIXED: "returned",
}


@dataclass(slots=True, kw_only=True)
class GroupRecord:
    """The record of one request: its fate and its sums, without tokens or texts.

    Attributes:
        request: The request.
        fate: Final fate.
        outcome: Outcome of the whole group, top-ups included; None where the group failed.
        previous_outcome: The prompt's outcome at its last visit.
        first_outcome: The prompt's outcome at its first visit.
        successes: Successful rollouts of the request.
        reward_sum: Sum of the n rewards.
        prompt_tokens: Prompt tokens of all n rollouts.
        generated_tokens: Sampled tokens.
        tool_tokens: Tokens of tool outputs.
        verifier_failures: Rollouts without a verdict.
        truncated: Rollouts that a limit ended; 0 where the group failed.
    """

    request: GroupRequest
    fate: Fate
    outcome: Outcome | None = None
    previous_outcome: Outcome | None = None
    first_outcome: Outcome | None = None
    successes: int = 0
    reward_sum: float = 0.0
    prompt_tokens: int = 0
    generated_tokens: int = 0
    tool_tokens: int = 0
    verifier_failures: int = 0
    truncated: int = 0

    @property
    def source(self) -> Source:
        """Class of a trained group by the prompt's first outcome, as counted by arXiv 2606.10709."""
        return _SOURCE_OF_FIRST_OUTCOME[self.first_outcome]


def records_of(group: Group, fate: Fate, success_at: float = 0.5) -> list[GroupRecord]:
    """Records of a group, one per request."""
    if not group.topped_up:
        return [_record(group, group.request, group.rollouts, fate, success_at)]
    return [_record(group, request, rollouts, fate, success_at) for request, rollouts in group.parts()]


def failure_record(request: GroupRequest, rollouts: Sequence[Rollout] = ()) -> GroupRecord:
    """Record of a failed request; tokens sampled before the failure are counted."""
    prompt, generated, tool = _tokens(rollouts)
    return GroupRecord(
        request=request,
        fate=Fate.FAILED,
        prompt_tokens=prompt,
        generated_tokens=generated,
        tool_tokens=tool,
        verifier_failures=sum(rollout.failure is not None for rollout in rollouts),
    )


def _record(
    group: Group, request: GroupRequest, rollouts: Sequence[Rollout], fate: Fate, success_at: float
) -> GroupRecord:
    successes = failures = truncated = 0
    rewards = 0.0
    for rollout in rollouts:  # one pass, because this runs for every rollout
        rewards += rollout.reward
        successes += rollout.reward >= success_at
        failures += rollout.failure is not None
        truncated += rollout.truncated
    prompt, generated, tool = _tokens(rollouts)
    return GroupRecord(
        request=request,
        fate=fate,
        outcome=group.outcome,
        previous_outcome=group.previous_outcome,
        first_outcome=group.first_outcome,
        successes=successes,
        reward_sum=rewards,
        prompt_tokens=prompt,
        generated_tokens=generated,
        tool_tokens=tool,
        verifier_failures=failures,
        truncated=truncated,
    )


def _tokens(rollouts: Sequence[Rollout]) -> tuple[int, int, int]:
    """Prompt tokens, sampled tokens, and tool tokens."""
    prompt = generated = tool = 0
    for rollout in rollouts:
        sampled, tokens = rollout.generated_tokens, len(rollout.token_ids)
        before = rollout.prompt_length
        prompt += before
        generated += sampled
        tool += tokens - sampled - before
    return prompt, generated, tool


def step_counts(records: Iterable[GroupRecord]) -> dict[str, int]:
    """Counts of rollouts, and of requests by outcome, fate and source, under the keys of ``metrics.jsonl``.

    A group counts once per request: once, or more often if it was topped up.
    ``groups/asked`` = trained + recycled + retired + excess + expired + failed: the conservation law of one step.
    ``groups/trained`` = fresh + rescued_hard + rescued_easy + returned.
    """
    records = tuple(records)
    outcomes = Counter(one.outcome for one in records)
    fates = Counter(one.fate for one in records)
    sources = Counter(one.source for one in records if one.fate is Fate.TRAINED)
    return {
        "rollouts": sum(one.request.n for one in records),
        "groups/asked": len(records),
        **{f"groups/{outcome}": outcomes[outcome] for outcome in Outcome},
        **{f"groups/{fate}": fates[fate] for fate in Fate},
        **{f"groups/{source}": sources[source] for source in ("fresh", "rescued_hard", "rescued_easy", "returned")},
    }
