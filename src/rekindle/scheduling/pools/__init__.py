"""Pools: rules for drawing prompts and for their return. A pool holds weights of rows, never texts.

The table of pools needs no numpy: classes are imported at the first use.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from rekindle.choices import load

if TYPE_CHECKING:
    from rekindle.scheduling.pools.cycling import CyclingPool
    from rekindle.scheduling.pools.growing import GrowingPool
    from rekindle.scheduling.pools.phased import Phase, PhasedPool
    from rekindle.scheduling.pools.pool import Growable, Pool
    from rekindle.scheduling.pools.prioritized import PrioritizedPool
    from rekindle.scheduling.pools.recycling import RecyclingPool
    from rekindle.scheduling.pools.selective import SelectivePool

__all__ = [
    "POOLS",
    "CyclingPool",
    "Growable",
    "GrowingPool",
    "Phase",
    "PhasedPool",
    "Pool",
    "PoolChoice",
    "PrioritizedPool",
    "RecyclingPool",
    "SelectivePool",
]


@dataclass(frozen=True, slots=True)
class PoolChoice:
    """An entry of the table of pools.

    Attributes:
        target: "module:class".
        description: One line for the list of pools.
        puts_back: The pool puts back prompts of dropped groups, so it needs a gate that drops some.
        skips: The pool skips prompts without signal at their last visits.
        orders: The pool draws earlier prompts by a rule of its own, instead of in turn.
        needs_profile: The pool selects prompts and group sizes by a profile that is made before the run.
        sizes_groups: The pool prescribes the group size.
        needs_binary_rewards: The pool counts successes.
        estimates: The pool draws by the posterior of the prompts' success rates.
    """

    target: str
    description: str
    puts_back: bool = False
    skips: bool = False
    orders: bool = False
    needs_profile: bool = False
    sizes_groups: bool = False
    needs_binary_rewards: bool = False
    estimates: bool = False

    @property
    def chooses_by_signal(self) -> bool:
        """Whether the pool needs groups that can have signal."""
        return self.puts_back or self.skips


POOLS: Mapping[str, PoolChoice] = MappingProxyType(
    {
        "cycling": PoolChoice("rekindle.scheduling.pools.cycling:CyclingPool", "every prompt in turn (GRPO)"),
        "recycling": PoolChoice(
            "rekindle.scheduling.pools.recycling:RecyclingPool",
            "only prompts trained on with signal leave (query recycling)",
            puts_back=True,
            orders=True,
        ),
        "prioritized": PoolChoice(
            "rekindle.scheduling.pools.prioritized:PrioritizedPool",
            "drawn by priority (posterior recycling, MoPPS)",
            orders=True,
            needs_binary_rewards=True,
            estimates=True,
        ),
        "selective": PoolChoice(
            "rekindle.scheduling.pools.selective:SelectivePool",
            "every prompt in turn, mostly skipping those without signal at their last visits (GRESO)",
            skips=True,
            orders=True,
            needs_binary_rewards=True,
        ),
        "phased": PoolChoice(
            "rekindle.scheduling.pools.phased:PhasedPool",
            "from easy prompts to hard ones, in phases of growing group size (sGPO)",
            needs_profile=True,
            sizes_groups=True,
            needs_binary_rewards=True,
        ),
    }
)
"""Pools by their name in a configuration."""

_LAZY = {
    "GrowingPool": "rekindle.scheduling.pools.growing:GrowingPool",
    "Growable": "rekindle.scheduling.pools.pool:Growable",
    "Phase": "rekindle.scheduling.pools.phased:Phase",
    "Pool": "rekindle.scheduling.pools.pool:Pool",
    **{choice.target.partition(":")[2]: choice.target for choice in POOLS.values()},
}


def __getattr__(name: str) -> object:
    """Import a class, and numpy with it, at the first use."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return load(_LAZY[name])
