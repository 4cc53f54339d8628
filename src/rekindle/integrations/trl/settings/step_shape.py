"""The shape of a step inside TRL: how many groups it has, and how many optimizer steps.

The generation batch (per_device_train_batch_size x processes x steps_per_generation) is the rollouts that an update
trains on, at most: that many rows fit in the micro-batches that the user's memory allows. A recipe's own
``train.groups_per_step`` is not read. Methods that generate rollouts to choose from generate more:

- Oversampling and refill draw further groups, and train on as many as fit.
- Subsets (PODS, Reinforce-Ada) train on ``subset.size`` rollouts of a group, which count; others are only generated.
- Where sizes vary (phases, 1/p, SPEED's top-ups), a group counts with its largest size.
"""

import math
from typing import Any

from rekindle.config import Config, ConfigError
from rekindle.integrations.settings.group_shape import largest_group, sizes_itself
from rekindle.integrations.trl.settings.arguments import Arguments

__all__ = ["BATCH", "full_groups", "groups_per_step", "optimizer_record", "update_keys"]

BATCH = "the generation batch (per_device_train_batch_size x processes x steps_per_generation)"


def groups_per_step(config: Config, arguments: Arguments) -> int:
    """Groups of a step, by the rollouts of a generation batch.

    Raises:
        ConfigError: The batch is not full groups, which TRL itself asks for, or less than the largest group.
    """
    batch, most, whole = arguments.generation_batch, largest_group(config), full_groups(config)
    if batch % whole:
        raise ConfigError(
            f"recipe: a group has {whole} rollouts, and {BATCH} is {batch}; make it a multiple of {whole}"
        )
    if batch < most:
        raise ConfigError(
            f"recipe: a group trains on up to {most} rollouts, and {BATCH} is {batch}; make it at least {most}"
        )
    return batch // most


def full_groups(config: Config) -> int:
    """What the generation batch is a multiple of; 1 where groups have sizes of their own."""
    return 1 if sizes_itself(config) else config.train.group_size


def optimizer_record(arguments: Arguments, updates: int | None) -> dict[str, Any]:
    """TRL's optimizer as keys of ``optimizer``, for the record; what these cannot say is left out.

    Args:
        arguments: TRL's.
        updates: Optimizer steps of the run.
    """
    name = str(getattr(arguments.lr_scheduler_type, "value", arguments.lr_scheduler_type))
    schedule = next((one for one in ("constant", "linear", "cosine") if name.partition("_")[0] == one), None)
    warmup = arguments.warmup_steps or 0  # below 1 it is a share of the run
    found = {
        "optimizer.warmup_steps": int(warmup) if warmup >= 1 else math.ceil(warmup * (updates or 0)),
        "optimizer.schedule": schedule,
        "optimizer.weight_decay": float(arguments.weight_decay),
        "optimizer.beta1": float(arguments.adam_beta1),
        "optimizer.beta2": float(arguments.adam_beta2),
        "optimizer.grad_clip": float(arguments.max_grad_norm or 0.0) or None,
    }
    return {path: value for path, value in found.items() if value is not None}


def update_keys(arguments: Arguments, groups: int | None) -> dict[str, Any]:
    """Passes over a generation, its optimizer steps, and the log-probabilities that ratios are taken to, by key.

    TRL divides a batch by rows. Where it makes more steps than there are groups, they count as further passes.
    """
    steps, passes = arguments.optimizer_steps, arguments.num_iterations
    if groups is not None and steps > groups:
        steps, passes = 1, passes * steps
    old = "recompute" if arguments.recomputes_logprobs else "auto"
    return {"optimizer.minibatches": steps, "optimizer.epochs": passes, "loss.old_logprobs": old}
