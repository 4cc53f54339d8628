"""Conversations: tokens, who wrote them, and how they end."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from rekindle.engines.engine import Completion
from rekindle.environments.search.limits import SearchLimits
from rekindle.environments.search.turn_protocol import Part
from rekindle.types import GroupRequest, Retrieval, Rollout

__all__ = ["Conversation", "Pending"]


@dataclass(frozen=True, slots=True)
class Pending:
    """A reply that has been decided on, but not written.

    Attributes:
        pieces: Token ids of our own words, and the places of documents.
        forced: It opens the answer.
    """

    pieces: Sequence[list[int] | Part]
    forced: bool = False

    @property
    def own_tokens(self) -> int:
        """Tokens of our own words."""
        return sum(len(piece) for piece in self.pieces if isinstance(piece, list))


@dataclass(slots=True)
class Conversation:
    """One rollout while it is played.

    Attributes:
        request: The order it belongs to.
        corpus: Where its queries are looked up.
        token_ids: [T] prompt first.
        loss_mask: [T] True where the policy sampled the token.
        logprobs: [T] 0.0 where the mask is False.
        generated: What the policy sampled, turn by turn.
        shown: The whole conversation after the prompt, piece by piece.
        sampled: Tokens sampled.
        retrievals: Queries answered.
        pending: The reply that is due.
        final: What it ended with; None: it did not.
        truncated: A limit ended it.
        failure: Why it can say nothing about the policy.
    """

    request: GroupRequest
    corpus: str
    token_ids: list[int]
    loss_mask: list[bool] = field(init=False)
    logprobs: list[float] = field(init=False)
    generated: list[str] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)
    sampled: int = 0
    retrievals: list[Retrieval] = field(default_factory=list)
    pending: Pending | None = None
    final: str | None = None
    truncated: bool = False
    failure: str | None = None

    def __post_init__(self) -> None:
        """Nothing of the prompt was sampled."""
        self.loss_mask = [False] * len(self.token_ids)
        self.logprobs = [0.0] * len(self.token_ids)

    @property
    def turns(self) -> int:
        """Turns of the policy."""
        return len(self.generated)

    def add_turn(self, completion: Completion) -> None:
        """Append a turn of the policy."""
        count = len(completion.token_ids)
        self.token_ids += completion.token_ids
        self.loss_mask += [True] * count
        self.logprobs += completion.logprobs
        self.sampled += count
        self.generated.append(completion.text)
        self.shown.append(completion.text)

    def add_reply(self, ids: Sequence[int], text: str) -> None:
        """Append what the policy reads."""
        self.token_ids += ids
        self.loss_mask += [False] * len(ids)
        self.logprobs += [0.0] * len(ids)
        self.shown.append(text)

    def allowance(self, limits: SearchLimits, reserve: int, own_tokens: int = 0) -> int:
        """Most tokens of the next turn after a reply of ``own_tokens``; less than 1: there is no next turn.

        Args:
            limits: Of the rollout.
            reserve: Tokens of the context that are kept for a forced answer, its opening included.
            own_tokens: Tokens that are written before the turn.
        """
        left = limits.free_tokens - self.sampled
        return min(limits.longest_turn, left, limits.sampling.context - len(self.token_ids) - own_tokens - reserve)

    def rollout(self, reward: float, failure: str | None, *, void: bool) -> Rollout:
        """The finished rollout."""
        return Rollout(
            token_ids=self.token_ids,
            loss_mask=self.loss_mask,
            logprobs=self.logprobs,
            reward=reward,
            temperature=self.request.temperature,
            version=self.request.version,
            truncated=self.truncated,
            text="\n".join(self.generated),
            turns=self.turns,
            failure=failure,
            void=void,
            transcript="".join(self.shown),
            retrievals=tuple(self.retrievals),
        )
