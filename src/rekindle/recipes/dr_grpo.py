"""Dr. GRPO (arXiv 2503.20783): no division by the group's standard deviation or by the completion length."""

from rekindle.config import Config
from rekindle.config.tables.credit import AdvantageTable, LossTable

__all__ = ["dr_grpo"]


def dr_grpo() -> Config:
    """Centred rewards, token losses summed and divided by a constant length."""
    return Config(
        recipe="dr_grpo", advantage=AdvantageTable(estimator="dr_grpo"), loss=LossTable(aggregation="constant_length")
    )
