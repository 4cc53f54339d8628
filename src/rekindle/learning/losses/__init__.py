"""Token losses, on packed tensors: the N trainable tokens of several rollouts, one rollout after the other.

No averaging happens here; ``rekindle.learning.aggregation`` gives the weight of each token.
"""

from collections.abc import Mapping
from types import MappingProxyType

from rekindle.learning.losses.cispo import cispo
from rekindle.learning.losses.gspo import gspo
from rekindle.learning.losses.importance import importance_weights
from rekindle.learning.losses.kl import kl_k3
from rekindle.learning.losses.ppo_clip import ppo_clip, ppo_clip_tokens
from rekindle.learning.losses.tokens import Loss, Tokens
from rekindle.learning.losses.zero_variance import entropy_advantages

__all__ = [
    "LOSSES",
    "Loss",
    "Tokens",
    "cispo",
    "entropy_advantages",
    "gspo",
    "importance_weights",
    "kl_k3",
    "ppo_clip",
    "ppo_clip_tokens",
]

LOSSES: Mapping[str, Loss] = MappingProxyType({"ppo_clip": ppo_clip_tokens, "gspo": gspo, "cispo": cispo})
"""The losses by their names in ``train.loss``."""
