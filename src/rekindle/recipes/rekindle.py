"""Our best combination: small steps on one success of every group with signal.

A prompt's rollouts are compared as in GRPO, and a group without signal costs no update. Of a group with signal one
success is trained on and no failure, a quarter of its rows. In expectation a success and a failure have the same
direction. Where right answers are few and wrong ones many, a success has the smaller variance, so steps can be smaller.
With small steps the learning rate falls to 0 over the run.
Chosen on development tasks with a tiny model; docs/methods/rekindle.md has what was measured and where it may not hold.
"""

from rekindle.config import Config
from rekindle.config.tables.credit import AdvantageTable, LossTable, SubsetTable
from rekindle.config.tables.training import OptimizerTable, TrainTable

__all__ = ["rekindle"]


def rekindle() -> Config:
    """One success of every group with signal, in steps of 16 groups."""
    return Config(
        recipe="rekindle",
        train=TrainTable(groups_per_step=16),
        subset=SubsetTable(kind="balanced", size=2),
        advantage=AdvantageTable(negative_scale=0.0),
        loss=LossTable(aggregation="token_mean"),
        optimizer=OptimizerTable(schedule="linear"),
    )
