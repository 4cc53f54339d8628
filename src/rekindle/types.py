"""Data types shared by every layer: tasks, requests, rollouts, groups, training samples, and their protocols.

Standard library only. A training step turns these into one another, top to bottom:

    Task -> GroupRequest -> Rollout (n of them) -> Group -> TrainingSample

Shapes are written with one letter per axis: T tokens of one rollout (prompt, tool output and sampled tokens),
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
    """An error that the user can fix; the message has what is wrong, where, and the remedy. Shown without traceback."""


class Outcome(StrEnum):
    """Outcome of a group by its rewards. Only a mixed group carries signal."""

    MIXED = "mixed"
    ALL_CORRECT = "all_correct"
    ALL_WRONG = "all_wrong"


class Fate(StrEnum):
    """Final state of a group and of all its rollouts. Each group has exactly one fate."""

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
        prompt: The user's text, of a conversation the last one; an environment renders it (chat template and all).
        answer: The reference answer, or several accepted ones; "" where there is none.
        metadata: Further JSON-like values for rewards, verifiers and reports: the columns of a row, except the prompt.
        messages: The prompt as chat messages, ``{"role": ..., "content": ...}``, where it was given as such: the last
            one is the user's. A system message in it replaces that of the configuration.
    """

    id: str
    prompt: str
    answer: str | tuple[str, ...]
    metadata: Mapping[str, object] = field(default_factory=dict)
    messages: tuple[Mapping[str, str], ...] = ()

    @property
    def conversation(self) -> str:
        """Everything said before the answer except the system message: the prompt, or the turns with their roles."""
        turns = [one for one in self.messages if one["role"] != "system"]
        if len(turns) < 2:
            return self.prompt
        return "\n".join(f"{one['role']}: {one['content']}" for one in turns)


@dataclass(slots=True, kw_only=True)
class GroupRequest:
    """A request to the environment: roll out one task ``n`` times at ``temperature``.

    Fields are keyword-only, because most of them are numbers that could be swapped without an error. The class is not
    frozen, because a frozen dataclass takes three times as long to construct, and one is made per group; treat it as
    immutable. The same holds for ``Group`` and ``TrainingSample``.

    Attributes:
        id: Handle for ``Scheduler.tell``, to be told once.
        task_id: Id of the task.
        row: The task's row in ``History``.
        n: Group size, at least 1.
        temperature: Sampling temperature of every rollout of the group.
        seed: 63-bit seed; the only source of randomness of the rollouts.
        version: Policy version that was live when the request was made.
        step: Number of the step (take) that the request belongs to.
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
        text: The passage without its title. Untrusted: it may be hostile.
    """

    id: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Retrieval:
    """A query of a rollout and the documents it returned: the provenance of everything the policy read.

    Attributes:
        turn: Number of the policy's turn, from 1.
        query: As the policy wrote it.
        documents: Best first, whole, as the corpus has them. The policy may have read less: see the rollout's tokens.
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
        reward: Verdict of the verifier.
        temperature: Temperature the tokens were sampled at.
        version: Policy version that sampled them.
        truncated: True when a length or turn limit ended the rollout, False when the policy ended it.
        text: The sampled text, decoded, for people and verifiers.
        turns: Number of turns of the policy.
        failure: Cause of a missing verdict ("timeout", "crash", "retriever", ...); the reward is then 0.
        void: True when something outside the policy failed (a dead retriever or judge): the rollout is no evidence
            about the policy, and its whole group fails.
        transcript: The whole conversation for people, tool outputs included; "" where it equals ``text``.
        retrievals: Every answered query, in order.
        rewards: Value of each reward function by name, before weights; None where it does not apply. Empty where a
            built-in verifier judges alone.
        audits: Scores of audits by name, which are not trained on; None where there is no verdict.
        final: Text that ended a search conversation, without its tags; None: there is none.
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
    rewards: Mapping[str, float | None] = field(default_factory=dict)
    audits: Mapping[str, float | None] = field(default_factory=dict)
    final: str | None = None

    @property
    def generated_tokens(self) -> int:
        """Number of tokens the policy sampled."""
        return self.loss_mask.count(True)

    @property
    def prompt_length(self) -> int:
        """Number of tokens before the first that the policy sampled; all, where it sampled none."""
        try:
            return self.loss_mask.index(True)
        except ValueError:
            return len(self.token_ids)


def usable(rollouts: Sequence[Rollout] | None) -> Sequence[Rollout] | None:
    """The rollouts of a group; None where one of them is void, because the others may be a biased sample.

    Args:
        rollouts: From an environment; None where the attempt failed.
    """
    return None if rollouts is None or any(rollout.void for rollout in rollouts) else rollouts


def outcome_of(rewards: Sequence[float], success_at: float = 0.5) -> Outcome:
    """Outcome of a group's rewards. Compares rewards directly: a standard deviation would take float noise for signal.

    Args:
        rewards: [n] at least one.
        success_at: A reward of at least this much is a success; used only where all rewards are equal.
    """
    if max(rewards) > min(rewards):
        return Outcome.MIXED
    return Outcome.ALL_CORRECT if rewards[0] >= success_at else Outcome.ALL_WRONG


@dataclass(slots=True, kw_only=True)
class Group:
    """All rollouts of one prompt in one step, with the prompt's record before them.

    Attributes:
        request: The first request.
        rollouts: [n] in the order sampled; those of ``topped_up`` follow those of ``request``.
        outcome: Outcome of all rewards.
        previous_outcome: The prompt's outcome at its last visit, None at the first.
        first_outcome: The prompt's outcome at its first visit, None when this is the first.
        streak: ERPO's streak of all-correct visits when the request was made; it raised the temperature.
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
    """A rollout as input of the trainer: numbers only, no algorithm.

    Attributes:
        token_ids: [T].
        loss_mask: [T] True where the policy sampled the token.
        logprobs: [T] behaviour log-probabilities, at the sampling temperature.
        advantages: [T] 0.0 where the mask is False or a token filter dropped the token.
        temperature: The logits are divided by it before the softmax.
        behaviour_temperature: The sampling temperature; None: ``temperature``.
        weight: Factor of each of this rollout's token losses in the batch loss; the aggregation, as a number.
        version: Policy version that sampled it.
        prompt_key: Rollouts with equal keys begin with the same prompt tokens, so its forward pass can be shared.
        entropy_scale: Scale of the advantage that ``losses.entropy_advantages`` adds to each token; 0 adds nothing.
        importance_cap: Each token's loss is multiplied by min(pi / pi_behaviour, cap), for tokens that were sampled at
            another temperature than ``temperature`` or by an engine that differs from the trainer; 0: off.
        side: 1 or -1: in every optimizer step the advantages are scaled such that both sides have the same total
            weight (C-RF); 0: off.
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
    behaviour_temperature: float | None = None
    side: int = 0


class Environment(Protocol):
    """Environment protocol: plays tasks with an engine. ``rekindle.testing.check_environment`` tests a class."""

    def play(self, requests: Sequence[GroupRequest]) -> Iterator[tuple[int, list[Rollout] | None]]:
        """Yield ``(request id, its n rollouts)`` once per request, in any order; None where the attempt failed."""
        ...

    @property
    def seconds(self) -> Mapping[str, float]:
        """Wall seconds since the start, by phase: "generate", "verify", ..."""
        ...

    @property
    def counts(self) -> Mapping[str, int]:
        """Events counted since the start, under the keys of ``metrics.jsonl``; may be empty."""
        ...
