"""The account of every group: one numeric row per group when its fate is final, and a step's sums of them."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from rekindle.types import Fate, Group, GroupRequest, Outcome, Rollout

__all__ = ["Settled", "Source", "settle", "settle_failure", "step_counts"]

Source = Literal["fresh", "rescued_hard", "rescued_easy", "returned"]
"""Where a trained group came from: drawn for the first time, or first seen all wrong, all correct, mixed."""

_SOURCE_OF_FIRST_OUTCOME: dict[Outcome | None, Source] = {
    None: "fresh",
    Outcome.ALL_WRONG: "rescued_hard",
    Outcome.ALL_CORRECT: "rescued_easy",
    Outcome.MIXED: "returned",
}


@dataclass(slots=True)
class Settled:
    """What is known of a request for good. ``generated_tokens`` counts sampled tokens, ``tool_tokens`` those that the
    policy read between them, ``reward_sum`` sums n rewards.

    The outcome is that of the whole group, when the request is one of several for the same prompt (a top-up).
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


def settle(group: Group, fate: Fate, success_at: float = 0.5) -> list[Settled]:
    """Reduce a group to its numbers, one row per request."""
    if not group.topped_up:
        return [_settled(group, group.request, group.rollouts, fate, success_at)]
    return [_settled(group, request, rollouts, fate, success_at) for request, rollouts in group.parts()]


def settle_failure(request: GroupRequest, rollouts: Sequence[Rollout] = ()) -> Settled:
    """The row of a request that brought nothing to learn from; what was sampled of it is paid for all the same."""
    prompt, generated, tool = _tokens(rollouts)
    failures = sum(rollout.failure is not None for rollout in rollouts)
    return Settled(
        request,
        Fate.FAILED,
        prompt_tokens=prompt,
        generated_tokens=generated,
        tool_tokens=tool,
        verifier_failures=failures,
    )


def _settled(
    group: Group, request: GroupRequest, rollouts: Sequence[Rollout], fate: Fate, success_at: float
) -> Settled:
    successes = failures = 0
    rewards = 0.0
    for rollout in rollouts:  # one pass, as this is done for every rollout of a run
        rewards += rollout.reward
        successes += rollout.reward >= success_at
        failures += rollout.failure is not None
    return Settled(
        request,
        fate,
        group.outcome,
        group.previous_outcome,
        group.first_outcome,
        successes,
        rewards,
        *_tokens(rollouts),
        failures,
    )


def _tokens(rollouts: Sequence[Rollout]) -> tuple[int, int, int]:
    """Tokens of the prompts, tokens sampled, and tokens read between these."""
    prompt = generated = tool = 0
    for rollout in rollouts:
        sampled, tokens = rollout.generated_tokens, len(rollout.token_ids)
        before = rollout.loss_mask.index(True) if sampled else tokens
        prompt += before
        generated += sampled
        tool += tokens - sampled - before
    return prompt, generated, tool


def step_counts(settled: Iterable[Settled]) -> dict[str, int]:
    """Counts of requests by outcome, fate and source, under the keys of ``metrics.jsonl``; rollouts beside them.

    A request is a group, unless groups are topped up; then a group counts once per request.
    ``groups/asked`` = trained + recycled + retired + excess + expired + failed: the conservation law of one step.
    ``groups/trained`` = fresh + rescued_hard + rescued_easy + returned.
    """
    settled = tuple(settled)
    outcomes = Counter(one.outcome for one in settled)
    fates = Counter(one.fate for one in settled)
    sources = Counter(one.source for one in settled if one.fate is Fate.TRAINED)
    return {
        "rollouts": sum(one.request.n for one in settled),
        "groups/asked": len(settled),
        **{f"groups/{outcome}": outcomes[outcome] for outcome in Outcome},
        **{f"groups/{fate}": fates[fate] for fate in Fate},
        **{f"groups/{source}": sources[source] for source in ("fresh", "rescued_hard", "rescued_easy", "returned")},
    }
