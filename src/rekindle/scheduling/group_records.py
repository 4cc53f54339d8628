"""Group records: one numeric row per request once its fate is final, and a step's counts of them."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from rekindle.types import Fate, Group, GroupRequest, Outcome, Rollout

__all__ = ["GroupRecord", "Source", "failure_record", "records_of", "step_counts"]

Source = Literal["fresh", "rescued_hard", "rescued_easy", "returned"]
"""Where a trained group came from: drawn for the first time, or first seen all wrong, all correct, mixed."""

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
        request: What was asked.
        fate: Final.
        outcome: Of the whole group, also where the request is one of several for the same prompt (a top-up); None
            where the group failed.
        previous_outcome: The prompt's outcome at its last visit.
        first_outcome: The prompt's outcome at its first visit.
        successes: Rollouts of the request that succeeded.
        reward_sum: Sum of its n rewards.
        prompt_tokens: Tokens of its prompts, n times the prompt.
        generated_tokens: Tokens that the policy sampled.
        tool_tokens: Tokens that the policy read between them.
        verifier_failures: Rollouts without a judgement.
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

    @property
    def source(self) -> Source:
        """Class of a trained group by the prompt's first outcome, as the paper counts."""
        return _SOURCE_OF_FIRST_OUTCOME[self.first_outcome]


def records_of(group: Group, fate: Fate, success_at: float = 0.5) -> list[GroupRecord]:
    """Records of a group, one per request."""
    if not group.topped_up:
        return [_record(group, group.request, group.rollouts, fate, success_at)]
    return [_record(group, request, rollouts, fate, success_at) for request, rollouts in group.parts()]


def failure_record(request: GroupRequest, rollouts: Sequence[Rollout] = ()) -> GroupRecord:
    """The record of a request that failed; tokens that were sampled before the failure are counted."""
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
    successes = failures = 0
    rewards = 0.0
    for rollout in rollouts:  # one pass, as this is done for every rollout of a run
        rewards += rollout.reward
        successes += rollout.reward >= success_at
        failures += rollout.failure is not None
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
    )


def _tokens(rollouts: Sequence[Rollout]) -> tuple[int, int, int]:
    """Prompt tokens, sampled tokens, and tool tokens."""
    prompt = generated = tool = 0
    for rollout in rollouts:
        sampled, tokens = rollout.generated_tokens, len(rollout.token_ids)
        before = rollout.loss_mask.index(True) if sampled else tokens
        prompt += before
        generated += sampled
        tool += tokens - sampled - before
    return prompt, generated, tool


def step_counts(records: Iterable[GroupRecord]) -> dict[str, int]:
    """Counts of requests by outcome, fate and source, under the keys of ``metrics.jsonl``; rollouts beside them.

    A request is a group, unless groups are topped up; then a group counts once per request.
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
