"""Our best combination: posterior recycling, heated residual prompts, and reactivated signal.

Prompts are drawn by the posterior chance that their group carries signal (as in posterior_recycle); those that stay
solved are heated, and what is still all correct when hot gets one virtual failure (as in erpo). The parts share one
belief: heat is part of the chance, so a heated prompt is drawn more often. Chosen on a development world of the
embedded task, by the share of groups that teach at no loss of accuracy; see docs/methods/rekindle.md.
"""

from rekindle.config import (
    Config,
    HeatingTable,
    PoolTable,
    PosteriorTable,
    PriorityTable,
    ReactivationTable,
    TrainTable,
)

__all__ = ["rekindle"]


def rekindle() -> Config:
    """Posterior recycling with ERPO's heating and reactivation."""
    return Config(
        recipe="rekindle",
        pool=PoolTable(kind="prioritized"),
        priority=PriorityTable(floor=0.05, sharpness=2.0),
        posterior=PosteriorTable(prior_successes=0.25, prior_failures=0.25, half_life=4.0),
        heating=HeatingTable(delta=0.05, maximum=1.2, on_signal="step_down"),
        reactivation=ReactivationTable(kind="virtual_failure"),
        train=TrainTable(gate="not_all_wrong"),
    )
