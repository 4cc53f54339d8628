"""Tables of the run itself: its length and batch, the optimizer, evaluation and checkpoints."""

from typing import Annotated, Literal

from rekindle.config.conditions import fact, given, on
from rekindle.config.defaults import Case, Computed
from rekindle.config.facts import short_warm_up
from rekindle.config.keys import OneOf, Table, key
from rekindle.config.tables.model import LORA, READY_MODEL
from rekindle.config.tables.prompts import PRIORITIZED, SIGNAL_CHANCE
from rekindle.config.tables.task import OWN_ROWS, ROWS
from rekindle.scheduling.gates import GATES
from rekindle.scheduling.pools import POOLS

__all__ = ["CheckpointTable", "EvalTable", "OptimizerTable", "SamplesTable", "TrainTable"]

GIVEN_SIZE = on("sizes.rule", "fixed", "knapsack").but('groups are sized by 1/p, set sizes.rule = "fixed"')
UNPHASED = fact(
    'no phases size the groups (phases.constant = "prompts")',
    lambda config: not POOLS[config.pool.kind].sizes_groups or config.phases.constant == "rollouts",
    phases__constant="rollouts",
).but('the phases size the groups, set phases.constant = "rollouts"')


class TrainTable(Table):
    """The run: its length, the batch of a step, and the learning rate."""

    steps: int | None = key(None, "number of steps; absent: until train.rollouts or train.tokens are spent", ge=1)
    rollouts: int | None = key(None, "budget of rollouts; with train.steps, an upper bound", ge=1)
    tokens: int | None = key(
        None,
        "budget of generated tokens, those of a profile included; with train.steps, an upper bound",
        ge=1,
    )
    seed: int = key(0, "seed of the data order, of sampling and of minibatches", ge=0)
    groups_per_step: int = key(64, "groups of one update, B", ge=1)
    group_size: int = key(
        4,
        "rollouts of a group",
        ge=1,
        only=(GIVEN_SIZE & UNPHASED) | (PRIORITIZED & SIGNAL_CHANCE) | on("top_up.kind", "balance"),
    )
    oversample: int = key(1, "k: prompts drawn per step = oversample x groups_per_step", ge=1)
    max_off_policy_steps: int = key(
        0, "updates by which a batch may lag behind; as many further steps are sampled before it is trained on", ge=0
    )
    temperature: float = key(1.0, "sampling temperature", gt=0)
    gate: Annotated[str, OneOf(GATES)] = key("has_signal", "groups that may enter an update")
    learning_rate: float = key(
        5e-4,
        "learning rate of AdamW after the warm-up",
        gt=0,
        cases=(Case(READY_MODEL & LORA, 1e-5), Case(READY_MODEL, 1e-6)),
    )
    threads: int | None = key(
        None, "CPU threads; absent: chosen by a measurement at the start, 1 for a tiny model", ge=1
    )
    max_steps_without_signal: int = key(
        20,
        "steps in a row without any signal before the run stops; a run that has stopped goes on when it is raised",
        ge=1,
    )


class OptimizerTable(Table):
    """AdamW, its schedule, and the division of a batch into optimizer steps."""

    warmup_steps: int = key(
        20,
        "updates in which the learning rate rises from 0",
        ge=0,
        cases=(Case(READY_MODEL, Computed("a tenth of the steps, at most 20", short_warm_up)),),
    )
    schedule: Literal["constant", "linear", "cosine"] = key(
        "constant",
        "learning rate after the warm-up",
        values={
            "constant": "is constant",
            "linear": "falls linearly to 0 at train.steps, or with what is left of train.rollouts or train.tokens",
            "cosine": "the same along a half cosine",
        },
    )
    weight_decay: float = key(
        0.0, "weight decay of parameters with two or more axes, per step and unit of learning rate", ge=0
    )
    beta1: float = key(0.9, "decay of the mean of gradients", ge=0, lt=1)
    beta2: float = key(0.999, "decay of the mean of squared gradients", ge=0, lt=1)
    grad_clip: float = key(1.0, "largest gradient norm; larger gradients are scaled down to it", gt=0)
    batch_exponent: float = key(
        0.0, "exponent of the learning rate factor (groups with signal / train.groups_per_step); 0 is off", ge=0
    )
    epochs: int = key(1, "passes over a batch", ge=1)
    minibatches: int = key(1, "optimizer steps per pass", ge=1)
    microbatch_tokens: int = key(8192, "most tokens of one forward and backward pass, padding included", ge=1)
    max_skipped_steps: int = key(
        3,
        "optimizer steps in a row that are skipped because the loss or a gradient is not finite, before the run stops",
        ge=1,
    )


class EvalTable(Table):
    """Evaluation on held-out prompts."""

    every: int = key(20, "steps between evaluations; there is one before the first step and one after the last", ge=1)
    prompts: int | None = key(
        256,
        "held-out prompts",
        ge=1,
        cases=(
            Case(
                ROWS & (given("task.eval_path", "FILE", suggest=False) | given("task.eval_split", "test")),
                Computed("those of task.eval_path or task.eval_split, at most 256"),
            ),
            Case(OWN_ROWS, Computed("a tenth of the prompts, at most 256")),
        ),
    )
    samples: int = key(1, "rollouts per held-out prompt at temperature 1", ge=1)


class CheckpointTable(Table):
    """Checkpoints: when to save, how many to keep."""

    every: int = key(50, "steps between checkpoints", ge=1)
    keep: int = key(2, "checkpoints kept; older ones are deleted", ge=1)
    optimizer: Literal["last", "all"] = key(
        "last",
        "checkpoints that have the state of the optimizer, two to three times the size of the weights",
        values={
            "last": "the last two, of which the older one is used if the other is damaged; others are models only",
            "all": "all, so that a run can resume from each",
        },
    )


class SamplesTable(Table):
    """Samples of what the policy writes, in samples.jsonl and in the report."""

    per_step: int = key(4, "rollouts of a step that are kept, of each role, right and wrong ones; 0: none", ge=0)
    held_out: int = key(
        2, "held-out prompts whose completions are kept, the same of each evaluation, sampled and greedy; 0: none", ge=0
    )
