"""Which keys a recipe's tables may set inside TRL, and where in TRL the others are."""

from collections.abc import Mapping
from typing import Any

from rekindle.integrations.settings.tables import Places

__all__ = ["ARGUMENTS", "NAMES", "PLACES", "allowed", "refuse_tables"]

ARGUMENTS: Mapping[str, str] = {
    "train.steps": "max_steps=... or num_train_epochs=...",
    "train.rollouts": "max_steps=...",
    "train.tokens": "max_steps=...",
    "train.seed": "seed=...",
    "train.groups_per_step": "per_device_train_batch_size=..., steps_per_generation=...",
    "train.learning_rate": "learning_rate=...",
    "optimizer.warmup_steps": "warmup_steps=...",
    "optimizer.schedule": "lr_scheduler_type=...",
    "optimizer.weight_decay": "weight_decay=...",
    "optimizer.beta1": "adam_beta1=...",
    "optimizer.beta2": "adam_beta2=...",
    "optimizer.grad_clip": "max_grad_norm=...",
    "optimizer.epochs": "num_iterations=...",
    "optimizer.minibatches": "steps_per_generation=...",
    "optimizer.microbatch_tokens": "per_device_train_batch_size=...",
    "engine.max_new_tokens": "max_completion_length=...",
    "engine.top_p": "top_p=...",
    "engine.min_p": "min_p=...",
    "engine.stop": 'generation_kwargs={"stop_strings": [...]}',
    "engine.max_rows": "per_device_train_batch_size=...",
    "eval.every": "eval_strategy=..., eval_steps=...",
    "eval.samples": "num_generations_eval=...",
    "samples.held_out": "log_completions=True",
    "checkpoint.every": "save_steps=...",
    "checkpoint.keep": "save_total_limit=...",
    "checkpoint.optimizer": "save_only_model=...",
    "model.revision": 'model_init_kwargs={"revision": ...}',
    "model.dtype": 'bf16=..., model_init_kwargs={"dtype": ...}',
    "model.float32_head": "cast_lm_head_to_fp32=True",
    "model.gradient_checkpointing": "gradient_checkpointing=...",
    "model.device": "use_cpu=...",
    "model.trust_remote_code": "trust_remote_code=...",
    "model.template_variables": "chat_template_kwargs={...}",
    "track": "report_to=[...]",
    "tracking": "report_to=[...], run_name=...",
}
"""The argument of ``GRPOConfig`` that has a key, by key or table."""
NAMES: Mapping[str, str] = {path: words.partition("=")[0] for path, words in ARGUMENTS.items() if "." in path}
"""The first argument alone, by key."""
ELSEWHERE: Mapping[str, str] = {
    "model.lora": "the trainer takes it: peft_config=LoraConfig(...)",
    "model.path": "the trainer takes it: model=...",
    "model": "the trainer takes the model and its tokenizer: model=..., processing_class=...",
    "warm_start": "a trainer begins with a ready model: model=...",
    "eval": "the trainer takes the held-out prompts: eval_dataset=...",
    "task": "the trainer takes the prompts and their rewards: train_dataset=..., reward_funcs=...",
    "rewards": "the trainer takes them: reward_funcs=[...], with GRPOConfig(reward_weights=[...])",
    "verify": "the trainer takes the rewards: reward_funcs=...",
    "judge": "the trainer takes the rewards: reward_funcs=...",
    "audits": "TRL has no second opinions; add a reward with the weight 0: GRPOConfig(reward_weights=[1.0, 0.0])",
    "search": "the trainer takes tools and environments: tools=[...], environment_factory=...",
    "retriever": "the trainer takes tools and environments: tools=[...], environment_factory=...",
    "dialogue": "the trainer takes environments: environment_factory=...",
    "self_play": "self-play makes its own prompts, and TRL trains on those of a dataset; use rekindle train",
    "filters": "self-play makes its own prompts, and TRL trains on those of a dataset; use rekindle train",
    "check": "self-play makes its own prompts, and TRL trains on those of a dataset; use rekindle train",
    "optimizer.batch_exponent": "TRL's schedule sets the learning rate of every step; remove it",
    "train.max_off_policy_steps": "TRL samples a generation with the weights that are trained on it; remove it",
    "train.threads": "set the environment variable OMP_NUM_THREADS",
}
"""What there is instead of a key, by key or table; the longest name counts."""


PLACES = Places(
    belongs="{} belongs to TRL: GRPOConfig({})",
    table_example='{{"{}": {{"key": value}}}}',
    settings=ARGUMENTS,
    elsewhere=ELSEWHERE,
    decided=frozenset({"optimizer.minibatches", "optimizer.schedule", "train.groups_per_step", "train.learning_rate"}),
    old_logprobs="belongs to TRL, which scores a generation again where later steps train on it; remove it",
)
"""Where keys are inside TRL."""
allowed = PLACES.allowed


def refuse_tables(tables: Mapping[str, Any]) -> None:
    """Refuse keys that TRL decides, or has no place for; unknown keys are left to the configuration.

    Raises:
        ConfigError: There are such keys; one line each.
    """
    PLACES.refuse(tables)
