"""RL-ZVP (arXiv 2509.21880): groups that all agree train too, by the entropy of their tokens.

All correct: every token is reinforced in proportion to its entropy; all wrong: every token is penalised, the most
uncertain ones least.
"""

from rekindle.config import Config
from rekindle.config.tables.credit import AdvantageTable
from rekindle.config.tables.training import TrainTable

__all__ = ["rl_zvp"]


def rl_zvp() -> Config:
    """GRPO, and entropy-shaped advantages where rewards agree."""
    return Config(
        recipe="rl_zvp",
        train=TrainTable(gate="everything"),
        advantage=AdvantageTable(zero_variance_scale=0.1),
    )
