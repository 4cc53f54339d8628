"""ERPO (arXiv 2511.04800): always-solved prompts are sampled at raised temperature until they have signal again.

A prompt's temperature rises by 0.05 with each all-correct visit, to 1.2 at most, and falls by one step after a visit
with signal (the paper's rule is heating.on_signal = "reset"). Groups that are all correct at a raised temperature get
one virtual failure, so every rollout has the advantage 1 / sqrt(K). All-wrong groups are dropped.
"""

from rekindle.config import Config
from rekindle.config.tables.credit import ReactivationTable
from rekindle.config.tables.rollouts import HeatingTable
from rekindle.config.tables.training import TrainTable

__all__ = ["erpo"]


def erpo() -> Config:
    """GRPO with raised temperatures for always-solved prompts, and reactivated signal."""
    return Config(
        recipe="erpo",
        heating=HeatingTable(delta=0.05, maximum=1.2, on_signal="step_down"),
        reactivation=ReactivationTable(kind="virtual_failure"),
        train=TrainTable(gate="not_all_wrong"),
    )
