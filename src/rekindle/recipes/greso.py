"""GRESO (arXiv 2506.02177): prompts without signal at recent visits are skipped before they are rolled out.

The more visits in a row without signal, the likelier a prompt is skipped. The skip rates of easy and hard prompts
follow the share of groups without signal. As in the paper, a step draws again (here at most four times) until it is
full.
"""

from rekindle.config import Config
from rekindle.config.tables.prompts import PoolTable
from rekindle.config.tables.rollouts import RefillTable

__all__ = ["greso"]


def greso() -> Config:
    """Skipping before rollout, with a bounded refill."""
    return Config(
        recipe="greso",
        pool=PoolTable(kind="selective"),
        refill=RefillTable(max_rounds=4),
    )
