"""Pools: which prompts may be drawn, and when a drawn prompt may come back. They hold weights of rows, never texts.

The table of pools needs no numpy: a class is imported when it is asked for.
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
        puts_back: It puts back what the gate holds back, so that the gate has to hold something back.
        skips: It skips prompts that had no signal lately.
        orders: Earlier prompts are drawn again by its own rule, not each in its turn.
        needs_profile: Its prompts are chosen and sized by a profile, which has to be there before the run.
        sizes_groups: It says how large a group is.
        needs_binary_rewards: It counts successes.
        estimates: It draws by what is believed of the prompts' success rates.
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
        """Whether it can do nothing where no group ever has signal."""
        return self.puts_back or self.skips


POOLS: Mapping[str, PoolChoice] = MappingProxyType(
    {
        "cycling": PoolChoice("rekindle.scheduling.pools.cycling:CyclingPool", "every prompt in turn (GRPO)"),
        "recycling": PoolChoice(
            "rekindle.scheduling.pools.recycling:RecyclingPool",
            "only prompts that were trained on with signal leave (query recycling)",
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
            "every prompt in turn, those without signal lately mostly skipped (GRESO)",
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
"""The pools by the names that a configuration chooses them by."""

_LAZY = {
    "GrowingPool": "rekindle.scheduling.pools.growing:GrowingPool",
    "Growable": "rekindle.scheduling.pools.pool:Growable",
    "Phase": "rekindle.scheduling.pools.phased:Phase",
    "Pool": "rekindle.scheduling.pools.pool:Pool",
    **{choice.target.partition(":")[2]: choice.target for choice in POOLS.values()},
}


def __getattr__(name: str) -> object:
    """Import a class, and numpy with it, when it is asked for."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return load(_LAZY[name])
