"""sGPO (arXiv 2606.08854): one cheap profiling pass decides which prompts stay, their group size and their order.

Prompts with a success rate above 3/4 are left out, and a tenth of the never-solved prompts joins every phase. The
others are trained on from easy to hard with groups of 2, 4 and 8: one epoch per phase, and the whole curriculum twice
with the sizes of the one profile. Every step has train.groups_per_step prompts, so its rollouts grow with the group
size. The paper's base is DAPO (``base = "dapo"``); ours by default is GRPO.
"""

from rekindle.config import Config
from rekindle.config.tables.prompts import PhasesTable, PoolTable, ProfileTable
from rekindle.config.tables.rollouts import SizesTable

__all__ = ["sgpo"]


def sgpo() -> Config:
    """Profile, filter, and phases of growing group size, twice."""
    return Config(
        recipe="sgpo",
        pool=PoolTable(kind="phased"),
        profile=ProfileTable(samples=8, trivial_above=0.75, unsolved_share=0.1),
        phases=PhasesTable(max_epochs=1, repeats=2, constant="prompts"),
        sizes=SizesTable(minimum=2, maximum=8, rounding="floor"),
    )
