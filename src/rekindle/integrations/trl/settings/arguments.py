"""The arguments of TRL's ``GRPOConfig`` that rekindle reads, with TRL's own defaults; without TRL and torch.

An argument counts as set where it differs from TRL's default: TRL keeps no record of what a script wrote.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

__all__ = ["DEFAULTS", "Arguments"]

SCALES = {True: "group", False: "none"}
"""Earlier values of ``scale_rewards``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """Arguments of a ``GRPOConfig`` by TRL's names and with TRL's meaning; ``world_size`` is its number of processes.

    Attributes:
        generation_batch_size: Rollouts of one generation over all processes; None: ``generation_batch`` computes it.
        steps_per_generation: Micro-batches of one generation; None: gradient_accumulation_steps.
    """

    per_device_train_batch_size: int = 8
    world_size: int = 1
    gradient_accumulation_steps: int = 1
    generation_batch_size: int | None = None
    steps_per_generation: int | None = None
    num_iterations: int = 1
    num_generations: int = 8
    num_generations_eval: int | None = None
    max_completion_length: int | None = 512
    temperature: float = 1.0
    top_p: float = 1.0
    min_p: float | None = None
    generation_kwargs: Mapping[str, Any] | None = None
    use_vllm: bool = False
    vllm_importance_sampling_correction: bool = True
    use_transformers_continuous_batching: bool = False
    beta: float = 0.0
    use_bias_correction_kl: bool = True
    epsilon: float = 0.2
    epsilon_high: float | None = None
    delta: float | None = None
    loss_type: str = "dapo"
    importance_sampling_level: str = "token"
    scale_rewards: str = "group"
    multi_objective_aggregation: str = "sum_then_normalize"
    mask_truncated_completions: bool = False
    off_policy_mask_threshold: float | None = None
    learning_rate: float = 1e-6
    lr_scheduler_type: str = "linear"
    warmup_steps: float = 0
    weight_decay: float = 0.0
    adam_beta1: float = 0.9
    adam_beta2: float = 0.999
    max_grad_norm: float = 1.0
    max_steps: int = -1
    num_train_epochs: float = 3.0
    seed: int = 42

    @classmethod
    def of(cls, args: object) -> "Arguments":
        """The arguments of a ``GRPOConfig``, or of any object with its attributes; missing ones have TRL's default."""
        found: dict[str, Any] = {one.name: getattr(args, one.name, one.default) for one in fields(cls)}
        scale = found["scale_rewards"]
        found["scale_rewards"] = SCALES[scale] if isinstance(scale, bool) else scale
        return cls(**found)

    @property
    def micro_batches(self) -> int:
        """Micro-batches of one generation, ``steps_per_generation``."""
        if self.steps_per_generation is not None:
            return self.steps_per_generation
        if self.generation_batch_size is not None:
            return self.generation_batch_size // (self.per_device_train_batch_size * self.world_size)
        return self.gradient_accumulation_steps

    @property
    def generation_batch(self) -> int:
        """Rollouts of one generation over all processes."""
        return self.generation_batch_size or self.per_device_train_batch_size * self.world_size * self.micro_batches

    @property
    def optimizer_steps(self) -> int:
        """Optimizer steps on one generation and pass over it; 1 where a step accumulates whole generations."""
        return max(1, math.ceil(self.micro_batches / self.gradient_accumulation_steps))

    @property
    def updates_per_generation(self) -> int:
        """Optimizer steps on one generation, all passes over it together."""
        return self.optimizer_steps * self.num_iterations

    @property
    def recomputes_logprobs(self) -> bool:
        """Whether TRL scores a generation before its first optimizer step, because later ones change the policy."""
        return self.gradient_accumulation_steps % (self.micro_batches * self.num_iterations) != 0

    def generations_of(self, rows: int, group_size: int) -> int:
        """Generations in a pass over a dataset, as TRL counts them.

        Args:
            rows: Of the dataset.
            group_size: Rollouts of a row in a pass, ``num_generations``.
        """
        return max(1, rows // max(1, self.generation_batch // group_size))

    def updates_of(self, rows: int, group_size: int) -> int:
        """Optimizer steps of ``num_train_epochs`` passes over a dataset, as TRL counts them.

        Args:
            rows: Of the dataset.
            group_size: Rollouts of a row in a pass, ``num_generations``.
        """
        each = self.generations_of(rows, group_size) * self.micro_batches * self.num_iterations
        return max(1, math.ceil(self.num_train_epochs * math.ceil(each / self.gradient_accumulation_steps)))

    def at(self, name: str) -> Any:
        """The value of an argument."""
        return getattr(self, name)

    def is_set(self, name: str) -> bool:
        """Whether an argument differs from TRL's default."""
        return bool(getattr(self, name) != getattr(DEFAULTS, name))


DEFAULTS = Arguments()
"""TRL's defaults."""
