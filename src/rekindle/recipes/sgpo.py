"""sGPO (arXiv 2606.08854): one cheap profiling pass decides which prompts stay, their group size and their order.

Prompts with a success rate above 3/4 are left out, and a tenth of the never-solved prompts joins every phase. The
others are trained on from easy to hard with groups of 2, 4 and 8. Rollouts per step stay train.groups_per_step x
train.group_size.
"""

from rekindle.config import Config
from rekindle.config.tables.prompts import PoolTable, ProfileTable
from rekindle.config.tables.rollouts import SizesTable

__all__ = ["sgpo"]


def sgpo() -> Config:
    """Profile, filter, and phases of growing group size."""
    return Config(
        recipe="sgpo",
        pool=PoolTable(kind="phased"),
        profile=ProfileTable(samples=8, trivial_above=0.75, unsolved_share=0.1),
        sizes=SizesTable(minimum=2, maximum=8),
    )
