"""Query recycling (arXiv 2606.10709): only prompts that were trained on leave the pool.

k = 2; prompts of the update batch are consumed, all others stay eligible. The paper draws each prompt about twice and
never empties the pool. With more visits, prompts without signal remain, so the pool is reset when fewer than a quarter
of its prompts are live (ours; set pool.reset_below = 0 for the paper's rule alone).
"""

from rekindle.config import Config
from rekindle.config.tables.prompts import PoolTable
from rekindle.config.tables.training import TrainTable

__all__ = ["recycle"]


def recycle() -> Config:
    """Hard recycling: w = 0 after training."""
    return Config(recipe="recycle", pool=PoolTable(kind="recycling", reset_below=0.25), train=TrainTable(oversample=2))
