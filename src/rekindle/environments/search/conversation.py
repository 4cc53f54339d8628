"""A search conversation in progress: its tokens, loss mask and log-probabilities, and how it ends."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from rekindle.engines.engine import Completion
from rekindle.environments.search.limits import SearchLimits
from rekindle.environments.search.turn_protocol import Part
from rekindle.types import GroupRequest, Retrieval, Rollout, Task

__all__ = ["Conversation", "Pending"]


@dataclass(frozen=True, slots=True)
class Pending:
    """A reply that is due and whose documents are not yet written.

    Attributes:
        pieces: Token ids of our own text, and the places of documents.
        forced: Whether it opens a forced answer.
    """

    pieces: Sequence[list[int] | Part]
    forced: bool = False

    @property
    def own_tokens(self) -> int:
        """Number of tokens of our own text."""
        return sum(len(piece) for piece in self.pieces if isinstance(piece, list))


@dataclass(slots=True)
class Conversation:
    """One rollout while it is played.

    Attributes:
        request: The request it belongs to.
        task: The task; ``metadata["corpus"]`` names the corpus in which its queries are looked up.
        token_ids: [T] prompt first.
        context: Most tokens of prompt, turns and replies together.
        place: Place in its group, from 0.
        loss_mask: [T] True where the policy sampled the token.
        logprobs: [T] 0.0 where the mask is False.
        generated: Texts sampled by the policy, one per turn.
        shown: The whole conversation after the prompt, piece by piece.
        sampled: Number of sampled tokens.
        retrievals: The answered queries.
        pending: The reply that is due.
        final: The final text; None: there is none.
        truncated: Whether a limit ended the conversation.
        failure: Reason why the rollout is void; None: it is not.
        counts: Events by name.
    """

    request: GroupRequest
    task: Task
    token_ids: list[int]
    context: int
    place: int = 0
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
    counts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        """Mark the tokens of the prompt as not sampled."""
        self.loss_mask = [False] * len(self.token_ids)
        self.logprobs = [0.0] * len(self.token_ids)

    @property
    def corpus(self) -> str:
        """Corpus in which its queries are looked up; "" where the task names none."""
        return str(self.task.metadata.get("corpus", ""))

    @property
    def turns(self) -> int:
        """Number of turns of the policy."""
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
        """Append a reply."""
        self.token_ids += ids
        self.loss_mask += [False] * len(ids)
        self.logprobs += [0.0] * len(ids)
        self.shown.append(text)

    def allowance(self, limits: SearchLimits, reserve: int, own_tokens: int = 0) -> int:
        """Most tokens of the next turn after a reply of ``own_tokens``; less than 1: there is no next turn.

        Args:
            limits: Limits of the rollout.
            reserve: Tokens of the context that are kept for a forced answer, its opening included.
            own_tokens: Tokens of our own text before the turn.
        """
        left = limits.free_tokens - self.sampled
        return min(limits.longest_turn, left, self.context - len(self.token_ids) - own_tokens - reserve)

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
            final=self.final,
        )
