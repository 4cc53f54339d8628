"""Token losses, on packed tensors: the N trainable tokens of several rollouts, one rollout after the other.

No averaging happens here; ``rekindle.learning.aggregation`` gives the weight of each token. The table itself needs no
torch: a loss is imported when it is loaded.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

from rekindle.choices import load

if TYPE_CHECKING:
    from rekindle.learning.losses.tokens import Loss

__all__ = ["LOSSES", "LossChoice"]


@dataclass(frozen=True, slots=True)
class LossChoice:
    """An entry of the table of losses.

    Attributes:
        target: "module:function" of the ``Loss``.
        description: One line for the list of losses.
        reads_clip_low: Whether it has a lower clip bound.
        reads_dual_clip: Whether the ratio can be bounded for negative advantages.
        needs_several_steps: It is that of PPO at a ratio of 1, which the first optimizer step on a batch has.
    """

    target: str
    description: str
    reads_clip_low: bool = True
    reads_dual_clip: bool = False
    needs_several_steps: bool = False

    def load(self) -> "Loss":
        """The function; imports torch."""
        return cast("Loss", load(self.target))


LOSSES: Mapping[str, LossChoice] = MappingProxyType(
    {
        "ppo_clip": LossChoice(
            "rekindle.learning.losses.ppo_clip:ppo_clip", "PPO's clipped ratio of each token", reads_dual_clip=True
        ),
        "gspo": LossChoice(
            "rekindle.learning.losses.gspo:gspo",
            "one clipped ratio per rollout, its tokens' geometric mean (GSPO)",
            needs_several_steps=True,
        ),
        "cispo": LossChoice(
            "rekindle.learning.losses.cispo:cispo",
            "REINFORCE weighted by the ratio, which is bounded above; no token loses its gradient (CISPO)",
            reads_clip_low=False,
            needs_several_steps=True,
        ),
    }
)
"""The losses by the names that a configuration chooses them by."""
