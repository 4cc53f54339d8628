"""The shape of a step inside TRL: how many groups it has, and how many optimizer steps.

The generation batch (per_device_train_batch_size x processes x steps_per_generation) is the rollouts that an update
trains on, at most: that many rows fit in the micro-batches that the user's memory allows. A recipe's own
``train.groups_per_step`` is not read. Methods that generate rollouts to choose from generate more:

- Oversampling and refill draw further groups, and train on as many as fit.
- Subsets (PODS, Reinforce-Ada) train on ``subset.size`` rollouts of a group, which count; others are only generated.
- Where sizes vary (phases, 1/p, SPEED's top-ups), a group counts with its largest size.
"""

from typing import Any

from rekindle.config import Config, ConfigError
from rekindle.config.facts import fewest_and_most, rollouts_per_step
from rekindle.integrations.trl.arguments import Arguments

__all__ = ["groups_per_step", "optimizer_table"]

BATCH = "the generation batch (per_device_train_batch_size x processes x steps_per_generation)"


def groups_per_step(config: Config, arguments: Arguments) -> int:
    """Groups of a step, by the rollouts of a generation batch.

    Raises:
        ConfigError: The batch is not full groups, or less than one.
    """
    rows, varies = _trained_rows(config)
    batch = arguments.generation_batch
    if batch < rows or (batch % rows and not varies):
        size = f"trains on {'up to ' if varies else ''}{rows} rollouts"
        remedy = f"at least {rows}" if varies else f"a multiple of {rows}"
        raise ConfigError(f"recipe: a group {size}, and {BATCH} of {batch} is not full groups; make it {remedy}")
    return batch // rows


def _trained_rows(config: Config) -> tuple[int, bool]:
    """Rollouts of a group that are trained on, at most, and whether groups differ in that."""
    n, most = config.train.group_size, fewest_and_most(config)[1]
    if config.subset.kind != "off":
        return config.subset.size, False
    if config.sizes.rule == "knapsack" or rollouts_per_step(config) is not None:
        return n, False
    return most, most != n or config.sizes.rule == "inverse_success"


def optimizer_table(arguments: Arguments, groups: int | None) -> dict[str, Any]:
    """Passes and optimizer steps of a generation as keys of ``optimizer``.

    TRL divides a batch by rows. Where it makes more steps than there are groups, they count as further passes.
    """
    steps, passes = arguments.optimizer_steps, arguments.num_iterations
    if groups is not None and steps > groups:
        steps, passes = 1, passes * steps
    return {"optimizer.minibatches": steps, "optimizer.epochs": passes}
