"""ERPO (arXiv 2511.04800): always-solved prompts are sampled at raised temperature until they have signal again.

A prompt's temperature rises by 0.05 with each all-correct visit, to 1.2 at most, and falls by one step after a visit
with signal. These constants and the rule after a signal are ours, because the paper's are not known to us. Groups that
are all correct at a raised temperature get one virtual failure, so every rollout has the advantage 1 / sqrt(K).
All-wrong groups are dropped. The paper's base is DAPO (``base = "dapo"``); ours by default is GRPO.
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
        reactivation=ReactivationTable(kind="virtual_failure", groups="raised"),
        train=TrainTable(gate="not_all_wrong"),
    )
