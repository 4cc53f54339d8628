"""Limits of a search rollout."""

from dataclasses import dataclass

from rekindle.engines.engine import SamplingLimits
from rekindle.types import UserError

__all__ = ["SearchLimits"]


@dataclass(frozen=True, slots=True)
class SearchLimits:
    """Limits of one rollout, in tokens where no other unit is named.

    Attributes:
        sampling: ``max_new_tokens`` limits all turns together, the forced answer included; ``context`` limits prompt,
            turns and replies together. Its ``stop`` is not read: the turn protocol has its own.
        max_turns: Most turns of the policy, the answer included; a forced answer is one more.
        turn_tokens: Most tokens sampled in one turn; None: as many as are left.
        answer_tokens: Tokens kept for a forced answer, when turns or tokens run out; 0: no forced answer.
        max_queries: Queries of one turn that are answered.
        documents: Documents shown per query.
        document_tokens: Most tokens of one document; longer ones are cut.
    """

    sampling: SamplingLimits
    max_turns: int = 5
    turn_tokens: int | None = None
    answer_tokens: int = 32
    max_queries: int = 3
    documents: int = 3
    document_tokens: int = 200

    def __post_init__(self) -> None:
        """Refuse limits that leave no token for a turn."""
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
        """Most tokens sampled before a forced answer."""
        return self.sampling.max_new_tokens - self.answer_tokens

    @property
    def longest_turn(self) -> int:
        """Most tokens of one turn that is not a forced answer."""
        return min(self.turn_tokens or self.free_tokens, self.free_tokens)
