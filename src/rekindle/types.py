"""The words of the house: plain data that every layer shares.

Standard library only. A training step turns these into one another, top to bottom:

    Task -> GroupRequest -> Rollout (n of them) -> Group -> TrainingSample

Shapes are written with one letter per axis: T tokens of one rollout (prompt, tool output and sampled tokens alike),
n rollouts of a group.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

__all__ = [
    "Document",
    "Environment",
    "Fate",
    "Group",
    "GroupRequest",
    "Outcome",
    "Retrieval",
    "Rollout",
    "Task",
    "TrainingSample",
    "UserError",
    "outcome_of",
    "usable",
]


class UserError(ValueError):
    """Something the user can fix; the message says what is wrong, where, and the remedy. No traceback is shown."""


class Outcome(StrEnum):
    """What a group's rewards say. Only a mixed group carries signal."""

    MIXED = "mixed"
    ALL_CORRECT = "all_correct"
    ALL_WRONG = "all_wrong"


class Fate(StrEnum):
    """Where a group, and every rollout of it, ends. Each group has exactly one fate."""

    TRAINED = "trained"
    """In an update, with gradient."""
    RECYCLED = "recycled"
    """No signal; the prompt is back in the pool."""
    EXCESS = "excess"
    """Signal, but not needed this time; the prompt follows its pool's rule."""
    RETIRED = "retired"
    """No signal; the prompt has left the pool until the pool is reset."""
    EXPIRED = "expired"
    """Sampled by a policy too old to train on."""
    FAILED = "failed"
    """The engine, the environment or the verifier failed."""


@dataclass(frozen=True, slots=True)
class Task:
    """A prompt with a verifiable answer, e.g. ``Task("gsm8k/17", "Natalia sold ...", "72")``.

    Attributes:
        id: Durable and unique within a pool; the same prompt has the same id in every run.
        prompt: The user's text; an environment renders it (chat template and all).
        answer: The reference answer, or several accepted ones.
        metadata: What a verifier or a report needs besides, JSON-like.
    """

    id: str
    prompt: str
    answer: str | tuple[str, ...]
    metadata: Mapping[str, object] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class GroupRequest:
    """A request to the environment: roll out one task ``n`` times at ``temperature``.

    Like the other classes that are made once per group or rollout, it takes its fields by name, because most of them
    are numbers that could be swapped without an error, and it is not frozen, because a frozen dataclass takes three
    times as long to make. It is not changed after it was made.

    Attributes:
        id: Handle to give back to ``Scheduler.tell``, once.
        task_id: Which task.
        row: The task's row in ``History``.
        n: Group size, at least 1.
        temperature: Sampling temperature of every rollout of the group.
        seed: 63-bit seed; the rollouts depend on it and on nothing else that is drawn.
        version: Policy version that was live when the request was made.
        step: The step (take) for which the group was asked.
    """

    id: int
    task_id: str
    row: int
    n: int
    temperature: float
    seed: int
    version: int
    step: int


@dataclass(frozen=True, slots=True)
class Document:
    """A passage of a corpus, e.g. ``Document("17", "Paris", "Paris is the capital of France.")``.

    Attributes:
        id: Unique in its corpus.
        title: May be empty.
        text: The passage without its title. Whoever wrote it may be hostile.
    """

    id: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Retrieval:
    """What one query of a rollout brought: the provenance of everything the policy read.

    Attributes:
        turn: Which time the policy spoke, from 1.
        query: As the policy wrote it.
        documents: Best first, whole, as the corpus has them; the rollout's tokens say what of them the policy read.
    """

    turn: int
    query: str
    documents: tuple[Document, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """One trajectory: every token the policy saw, and which of them it sampled itself.

    Attributes:
        token_ids: [T] prompt first, then turns; token in, token out (never re-tokenised).
        loss_mask: [T] True exactly where the policy sampled the token.
        logprobs: [T] behaviour log-probabilities in nats at ``temperature``; 0.0 where the mask is False.
        reward: What the verifier said.
        temperature: Temperature the tokens were sampled at.
        version: Policy version that sampled them.
        truncated: True when a length or turn limit ended it, False when the policy did.
        text: The sampled text, decoded, for people and verifiers.
        turns: Number of times the policy spoke.
        failure: Why there is no judgement ("timeout", "crash", "retriever", ...); such a rollout has reward 0.
        void: True when something outside the policy failed (a dead retriever or judge): the rollout says nothing about
            the policy, and its whole group fails.
        transcript: The whole conversation for people, what tools said included; "" where it is ``text``.
        retrievals: Every query that was answered, in order.
    """

    token_ids: Sequence[int]
    loss_mask: Sequence[bool]
    logprobs: Sequence[float]
    reward: float
    temperature: float = 1.0
    version: int = 0
    truncated: bool = False
    text: str = ""
    turns: int = 1
    failure: str | None = None
    void: bool = False
    transcript: str = ""
    retrievals: tuple[Retrieval, ...] = ()

    @property
    def generated_tokens(self) -> int:
        """Number of tokens the policy sampled."""
        return self.loss_mask.count(True)


def usable(rollouts: Sequence[Rollout] | None) -> Sequence[Rollout] | None:
    """A group's rollouts, or None where one of them is void: of the others nobody knows whether they are a fair sample.

    Args:
        rollouts: What an environment gave; None where the attempt failed.
    """
    return None if rollouts is None or any(rollout.void for rollout in rollouts) else rollouts


def outcome_of(rewards: Sequence[float], success_at: float = 0.5) -> Outcome:
    """Classify a group's rewards. Rewards are compared, never their standard deviation: float noise is not signal.

    Args:
        rewards: [n] at least one.
        success_at: A reward of at least this much is a success; it only tells equal rewards' two kinds apart.
    """
    if max(rewards) > min(rewards):
        return Outcome.MIXED
    return Outcome.ALL_CORRECT if rewards[0] >= success_at else Outcome.ALL_WRONG


@dataclass(slots=True, kw_only=True)
class Group:
    """All rollouts of one prompt in one step, with what was known of the prompt before them.

    Attributes:
        request: What was asked.
        rollouts: [n] in the order sampled; those of ``topped_up`` follow those of ``request``.
        outcome: What the rewards say.
        previous_outcome: The prompt's outcome at its last visit, None at the first.
        first_outcome: The prompt's outcome at its first visit, None when this is the first.
        streak: ERPO's streak of all-correct visits when the group was asked, by which its temperature was raised.
        beta: (successes, failures) of the prompt's posterior before this visit, prior included.
        topped_up: Further requests for the same prompt in the same step.
    """

    request: GroupRequest
    rollouts: tuple[Rollout, ...]
    outcome: Outcome
    previous_outcome: Outcome | None = None
    first_outcome: Outcome | None = None
    streak: int = 0
    beta: tuple[float, float] = (0.0, 0.0)
    topped_up: tuple[GroupRequest, ...] = ()

    @property
    def rewards(self) -> list[float]:
        """[n] rewards."""
        return [rollout.reward for rollout in self.rollouts]

    def successes(self, success_at: float = 0.5) -> int:
        """Number of rollouts with a reward of at least ``success_at``."""
        return len([rollout for rollout in self.rollouts if rollout.reward >= success_at])

    def parts(self) -> Iterator[tuple[GroupRequest, tuple[Rollout, ...]]]:
        """Each request with its own rollouts."""
        start = 0
        for request in (self.request, *self.topped_up):
            yield request, self.rollouts[start : start + request.n]
            start += request.n


@dataclass(slots=True, kw_only=True)
class TrainingSample:
    """What the trainer sees of a rollout: numbers only, no algorithm.

    Attributes:
        token_ids: [T].
        loss_mask: [T] True where the policy sampled the token.
        logprobs: [T] behaviour log-probabilities at ``temperature``.
        advantages: [T] 0.0 where the mask is False or a token filter dropped the token.
        temperature: The logits are divided by it before the softmax.
        weight: Factor of each of this rollout's token losses in the batch loss; the aggregation, as a number.
        version: Policy version that sampled it.
        prompt_key: Rollouts with equal keys begin with the same prompt tokens, so its forward pass can be shared.
        entropy_scale: Scale of the advantage that ``losses.entropy_advantages`` adds to each token; 0 adds nothing.
        importance_cap: Each token's loss is multiplied by min(pi / pi_behaviour, cap), for tokens that were sampled at
            another temperature than ``temperature``; 0: not.
    """

    token_ids: Sequence[int]
    loss_mask: Sequence[bool]
    logprobs: Sequence[float]
    advantages: Sequence[float]
    temperature: float
    weight: float
    version: int = 0
    prompt_key: int = 0
    entropy_scale: float = 0.0
    importance_cap: float = 0.0


class Environment(Protocol):
    """Plays tasks with an engine. ``rekindle.testing.check_environment`` tests an implementation."""

    def play(self, requests: Sequence[GroupRequest]) -> Iterator[tuple[int, list[Rollout] | None]]:
        """Yield ``(request id, its n rollouts)`` once per request, in any order; None where the attempt failed."""
        ...

    @property
    def seconds(self) -> Mapping[str, float]:
        """Wall seconds spent so far, by phase: "generate", "verify", ..."""
        ...

    @property
    def counts(self) -> Mapping[str, int]:
        """What happened so far, under the keys of ``metrics.jsonl``; empty where there is nothing to count."""
        ...
