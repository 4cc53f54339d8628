"""The shape of a step on verl: how many groups it has, and how many optimizer steps.

``data.train_batch_size`` prompts are the groups of a step, whatever their sizes: micro-batches bound the memory.
Divided by ``ppo_mini_batch_size`` it is the number of optimizer steps, which have equally many rollouts. In
``separate_async`` verl makes ``parameter_sync_step`` updates of one mini-batch each between two synchronisations: each
of them is a step here.
"""

from typing import Any

from rekindle.integrations.verl.settings.values import ACTOR, V1, Values

__all__ = ["groups_per_step", "minibatches", "optimizer_record", "steps_of_run", "update_keys", "updates_per_step"]


def groups_per_step(values: Values) -> int:
    """Groups of a step."""
    separate = values.mode == "separate_async"
    return int(values.at(f"{ACTOR}.ppo_mini_batch_size" if separate else "data.train_batch_size"))


def steps_of_run(values: Values) -> int | None:
    """Steps of the run, where ``trainer.total_training_steps`` says."""
    total, separate = values.at("trainer.total_training_steps"), values.mode == "separate_async"
    if total is None:
        return None
    return int(total) * (int(values.at(f"{V1}.separate_async.parameter_sync_step")) if separate else 1)


def minibatches(values: Values) -> int:
    """Optimizer steps of a pass over a batch."""
    return max(1, groups_per_step(values) // int(values.at(f"{ACTOR}.ppo_mini_batch_size")))


def updates_per_step(values: Values) -> int:
    """Optimizer steps of a batch, all passes together."""
    return minibatches(values) * int(values.at(f"{ACTOR}.ppo_epochs"))


def optimizer_record(values: Values, steps: int | None) -> dict[str, Any]:
    """The optimizer of verl as keys of ``optimizer``, for the record; what these cannot say is left out.

    Args:
        values: verl's settings.
        steps: Steps of the run, which verl's schedule counts.
    """
    optim = f"{ACTOR}.optim"
    warmup, share = values.at(f"{optim}.lr_warmup_steps"), values.at(f"{optim}.lr_warmup_steps_ratio")
    schedule = str(values.at(f"{optim}.lr_scheduler_type"))
    betas = values.at(f"{optim}.betas")
    found = {
        "optimizer.warmup_steps": int(warmup) if (warmup or 0) > 0 else int(float(share) * (steps or 0)),
        "optimizer.schedule": schedule if schedule in ("constant", "linear", "cosine") else None,
        "optimizer.weight_decay": float(values.at(f"{optim}.weight_decay")),
        "optimizer.beta1": float(betas[0]),
        "optimizer.beta2": float(betas[1]),
        "optimizer.grad_clip": float(values.at(f"{optim}.clip_grad") or 0.0) or None,
    }
    return {path: value for path, value in found.items() if value is not None}


def update_keys(values: Values) -> dict[str, Any]:
    """Passes over a batch, its optimizer steps, and the log-probabilities that ratios are taken to, by key."""
    return {
        "optimizer.minibatches": minibatches(values),
        "optimizer.epochs": int(values.at(f"{ACTOR}.ppo_epochs")),
        "loss.old_logprobs": "recompute" if updates_per_step(values) > 1 else "auto",
    }
