"""Overlong rollouts (DAPO, arXiv 2503.14476): masked from the loss, or with a penalty that grows towards the limit.

Masked (the paper's overlong filtering): no token of a truncated rollout is trained on, and none counts in the
denominators of the loss. Its reward counts in the statistics of its group.

Penalty (equation 13), for a rollout of l tokens, a limit L and a buffer C, times ``factor``:

    0 if l <= L - C,   (L - C - l) / C if L - C < l <= L,   -1 if it was truncated

It is added to the reward when advantages are computed, and nowhere else: outcome, history and success are those of the
verifier. So a group is mixed by its verdicts alone; a group that is all correct and differs in length only is no-signal
for the gate, and where the gate accepts it, its long rollouts have a negative advantage.
"""

from dataclasses import dataclass, replace

from rekindle.types import Rollout

__all__ = ["Mask", "Overlong", "Penalty", "length_penalty"]


def length_penalty(length: int, limit: int, buffer: int) -> float:
    """Equation 13 of arXiv 2503.14476, in [-1, 0].

    Args:
        length: Sampled tokens of the rollout.
        limit: Most sampled tokens, L.
        buffer: Tokens before the limit in which the penalty grows, C; at least 1.
    """
    return max(-1.0, min(0.0, (limit - buffer - length) / buffer))


@dataclass(frozen=True, slots=True)
class Mask:
    """Truncated rollouts are left out of the loss."""

    def reward(self, rollout: Rollout) -> float:
        """The reward that advantages are computed from: that of the verifier."""
        return rollout.reward

    def trained(self, rollout: Rollout) -> Rollout:
        """The rollout, without trainable tokens where it was truncated."""
        return replace(rollout, loss_mask=[False] * len(rollout.loss_mask)) if rollout.truncated else rollout


@dataclass(frozen=True, slots=True)
class Penalty:
    """Long rollouts have a lower reward; see ``length_penalty``.

    Attributes:
        limit: Most sampled tokens of a rollout.
        buffer: Tokens before it in which the penalty grows.
        factor: Penalty of a truncated rollout.
    """

    limit: int
    buffer: int
    factor: float = 1.0

    def reward(self, rollout: Rollout) -> float:
        """The reward that advantages are computed from. A rollout cut before the limit, as by the context, is at it."""
        length = self.limit if rollout.truncated else rollout.generated_tokens
        return rollout.reward + self.factor * length_penalty(length, self.limit, self.buffer)

    def trained(self, rollout: Rollout) -> Rollout:
        """The rollout itself: all its tokens are trained on."""
        return rollout


Overlong = Mask | Penalty
"""Handling of overlong rollouts."""
