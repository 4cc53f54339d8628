"""RL-ZVP (arXiv 2509.21880): groups with equal rewards get advantages from the entropy of their tokens.

All correct: every token is reinforced in proportion to its entropy. All wrong: every token is penalised, those of
highest entropy least.
"""

from rekindle.config import Config
from rekindle.config.tables.credit import AdvantageTable
from rekindle.config.tables.training import TrainTable

__all__ = ["rl_zvp"]


def rl_zvp() -> Config:
    """GRPO with entropy-based advantages for groups with equal rewards."""
    return Config(
        recipe="rl_zvp",
        train=TrainTable(gate="everything"),
        advantage=AdvantageTable(zero_variance_scale=0.1),
    )
