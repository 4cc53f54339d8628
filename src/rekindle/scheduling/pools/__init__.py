"""Which prompts may be drawn, and when a drawn prompt may come back. Pools hold weights of rows, never texts."""

from rekindle.scheduling.pools.cycling import CyclingPool
from rekindle.scheduling.pools.growing import GrowingPool
from rekindle.scheduling.pools.phased import Phase, PhasedPool
from rekindle.scheduling.pools.pool import Growable, Pool
from rekindle.scheduling.pools.prioritized import PrioritizedPool
from rekindle.scheduling.pools.recycling import RecyclingPool
from rekindle.scheduling.pools.selective import SelectivePool

__all__ = [
    "CyclingPool",
    "Growable",
    "GrowingPool",
    "Phase",
    "PhasedPool",
    "Pool",
    "PrioritizedPool",
    "RecyclingPool",
    "SelectivePool",
]
