"""Tables of the run itself: its length and batch, the optimizer, evaluation and checkpoints."""

from typing import Annotated, Literal

from rekindle.config.conditions import on
from rekindle.config.keys import OneOf, Table, key
from rekindle.config.tables.prompts import PRIORITIZED, SIGNAL_CHANCE
from rekindle.scheduling.gates import GATES

__all__ = ["CheckpointTable", "EvalTable", "OptimizerTable", "TrainTable"]


class TrainTable(Table):
    """The run: its length, what a step is made of, and the step size."""

    steps: int | None = key(None, "steps to make; absent: until train.rollouts or train.tokens are spent", ge=1)
    rollouts: int | None = key(None, "rollouts to spend; with train.steps, the most that may be spent", ge=1)
    tokens: int | None = key(
        None,
        "generated tokens to spend, a profile's included; with train.steps, the most that may be spent",
        ge=1,
    )
    seed: int = key(0, "seed of the data order, of sampling and of minibatches", ge=0)
    groups_per_step: int = key(64, "groups of one update, B", ge=1)
    group_size: int = key(
        4,
        "rollouts of a group",
        ge=1,
        only=(on("sizes.rule", "fixed", "knapsack") | (PRIORITIZED & SIGNAL_CHANCE) | on("top_up.kind", "balance")).but(
            'groups are sized by 1/p, set sizes.rule = "fixed"'
        ),
    )
    oversample: int = key(1, "k: prompts drawn per step = oversample x groups_per_step", ge=1)
    temperature: float = key(1.0, "sampling temperature", gt=0)
    gate: Annotated[str, OneOf(GATES)] = key("has_signal", "groups that may enter an update")
    learning_rate: float = key(5e-4, "learning rate of AdamW after the warm-up", gt=0)
    threads: int = key(1, "CPU threads; two can be slower than one for tiny models", ge=1)
    max_steps_without_signal: int = key(20, "steps in a row without any signal before the run stops", ge=1)


class OptimizerTable(Table):
    """AdamW, its schedule, and how a batch is dealt into optimizer steps."""

    warmup_steps: int = key(20, "updates in which the learning rate rises from 0", ge=0)
    schedule: Literal["constant", "linear", "cosine"] = key(
        "constant",
        "learning rate after the warm-up",
        values={
            "constant": "stays",
            "linear": "falls in a straight line to 0 at train.steps",
            "cosine": "falls along a half cosine to 0 at train.steps",
        },
    )
    weight_decay: float = key(0.0, "decay of the weights of two axes or more, per step and unit of learning rate", ge=0)
    beta1: float = key(0.9, "decay of the mean of gradients", ge=0, lt=1)
    beta2: float = key(0.999, "decay of the mean of squared gradients", ge=0, lt=1)
    grad_clip: float = key(1.0, "largest norm of a gradient; a longer one is scaled to it", gt=0)
    batch_exponent: float = key(
        0.0, "the learning rate is scaled by (groups with signal / train.groups_per_step) to this power", ge=0
    )
    epochs: int = key(1, "passes over a batch", ge=1)
    minibatches: int = key(1, "optimizer steps per pass", ge=1)
    microbatch_tokens: int = key(8192, "padded tokens of one forward and backward pass", ge=1)


class EvalTable(Table):
    """Evaluation on held-out prompts."""

    every: int = key(20, "steps between evaluations; one is made before the first and after the last", ge=1)
    prompts: int = key(256, "held-out prompts", ge=1)
    samples: int = key(1, "rollouts per held-out prompt at temperature 1", ge=1)


class CheckpointTable(Table):
    """When to save."""

    every: int = key(50, "steps between checkpoints", ge=1)
    keep: int = key(2, "checkpoints kept; older ones are deleted", ge=1)
