"""Limits of a search rollout."""

from dataclasses import dataclass

from rekindle.engines.engine import SamplingLimits
from rekindle.types import UserError

__all__ = ["SearchLimits"]


@dataclass(frozen=True, slots=True)
class SearchLimits:
    """The budgets of one rollout, all in tokens unless it says otherwise.

    Attributes:
        sampling: ``max_new_tokens`` are sampled in all turns together, the forced answer included; ``context`` holds
            prompt, turns and replies together. Its ``stop`` is not read: the turn protocol has its own.
        max_turns: Times the policy may speak, the answer included; a forced answer comes on top.
        turn_tokens: Sampled in one turn; None: as many as are left.
        answer_tokens: Kept for an answer that is asked for when turns or tokens run out; 0: none is asked for.
        max_queries: Queries of one turn that are answered.
        documents: Documents shown per query.
        document_tokens: Of one document; what is longer is cut.
    """

    sampling: SamplingLimits
    max_turns: int = 5
    turn_tokens: int | None = None
    answer_tokens: int = 32
    max_queries: int = 3
    documents: int = 3
    document_tokens: int = 200

    def __post_init__(self) -> None:
        """Refuse budgets with which nothing could be said."""
        most = self.sampling.max_new_tokens
        if self.answer_tokens >= most:
            raise UserError(
                f"search.answer_tokens = {self.answer_tokens} leaves nothing of engine.max_new_tokens = "
                f"{most} to search with; raise engine.max_new_tokens or lower search.answer_tokens"
            )
        for name in ("max_turns", "max_queries", "documents", "document_tokens", "turn_tokens"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f"search.{name} = {value} allows nothing; use at least 1")

    @property
    def free_tokens(self) -> int:
        """Tokens that the policy may sample before its answer is asked for."""
        return self.sampling.max_new_tokens - self.answer_tokens

    @property
    def longest_turn(self) -> int:
        """Most tokens of one turn that is not a forced answer."""
        return min(self.turn_tokens or self.free_tokens, self.free_tokens)
