"""Which keys a recipe's tables may set on verl, and where in verl the others are."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from rekindle.integrations.settings.tables import COMMON_KEYS, Places
from rekindle.integrations.verl.settings.environments import with_environments

__all__ = ["AGENT_TABLES", "NAMES", "PLACES", "SETTINGS", "refuse_tables"]

SETTINGS: Mapping[str, str] = MappingProxyType(
    {
        "train.steps": "trainer.total_training_steps=... or trainer.total_epochs=...",
        "train.rollouts": "trainer.total_training_steps=...",
        "train.tokens": "trainer.total_training_steps=...",
        "train.seed": "data.seed=...",
        "train.groups_per_step": "data.train_batch_size=...",
        "train.learning_rate": "actor_rollout_ref.actor.optim.lr=...",
        "optimizer.warmup_steps": "actor_rollout_ref.actor.optim.lr_warmup_steps=...",
        "optimizer.schedule": "actor_rollout_ref.actor.optim.lr_scheduler_type=...",
        "optimizer.weight_decay": "actor_rollout_ref.actor.optim.weight_decay=...",
        "optimizer.beta1": "actor_rollout_ref.actor.optim.betas=[...]",
        "optimizer.beta2": "actor_rollout_ref.actor.optim.betas=[...]",
        "optimizer.grad_clip": "actor_rollout_ref.actor.optim.clip_grad=...",
        "optimizer.epochs": "actor_rollout_ref.actor.ppo_epochs=...",
        "optimizer.minibatches": "actor_rollout_ref.actor.ppo_mini_batch_size=...",
        "optimizer.microbatch_tokens": "actor_rollout_ref.actor.ppo_max_token_len_per_gpu=...",
        "engine.max_new_tokens": "data.max_response_length=...",
        "engine.top_p": "actor_rollout_ref.rollout.top_p=...",
        "engine.max_rows": "actor_rollout_ref.rollout.max_num_seqs=...",
        "eval.every": "trainer.test_freq=...",
        "eval.samples": "actor_rollout_ref.rollout.val_kwargs.n=...",
        "eval.prompts": "data.val_max_samples=...",
        "samples.held_out": "trainer.log_val_generations=...",
        "checkpoint.every": "trainer.save_freq=...",
        "checkpoint.keep": "trainer.max_actor_ckpt_to_keep=...",
        "checkpoint.optimizer": "actor_rollout_ref.actor.checkpoint.save_contents=[...]",
        "model.path": "actor_rollout_ref.model.path=...",
        "model.dtype": "actor_rollout_ref.rollout.dtype=..., actor_rollout_ref.actor.fsdp_config.model_dtype=...",
        "model.gradient_checkpointing": "actor_rollout_ref.model.enable_gradient_checkpointing=...",
        "model.lora.rank": "actor_rollout_ref.model.lora_rank=...",
        "model.lora.alpha": "actor_rollout_ref.model.lora_alpha=...",
        "model.lora.targets": "actor_rollout_ref.model.target_modules=...",
        "model.device": "trainer.device=...",
        "model.trust_remote_code": "actor_rollout_ref.model.trust_remote_code=...",
        "model.template": "actor_rollout_ref.model.custom_chat_template=...",
        "model.template_variables": "data.apply_chat_template_kwargs={...}",
        "task.path": "data.train_files=...",
        "task.eval_path": "data.val_files=...",
        "task.columns.prompt": "data.prompt_key=...",
        "task.pool_size": "data.train_max_samples=...",
        "task.overlong_prompts": "data.filter_overlong_prompts=..., data.truncation=...",
        "track": "trainer.logger=[...]",
        "tracking.project": "trainer.project_name=...",
        "tracking.name": "trainer.experiment_name=...",
    }
)
"""The setting of verl that has a key, by key or table."""
NAMES: Mapping[str, str] = MappingProxyType(
    {path: words.partition("=")[0] for path, words in SETTINGS.items() if "." in path}
)
"""The first setting alone, by key."""
AGENT_TABLES: Mapping[str, str] = MappingProxyType(
    dict.fromkeys(
        ("search", "retriever", "self_play", "filters", "check"),
        "it is read where environments are rekindle's; set rekindle.task.environment=search, or rekindle.task.source",
    )
)
"""Tables of the search agent and of self-play (see ``environments``)."""
ELSEWHERE: Mapping[str, str] = MappingProxyType(
    {
        **AGENT_TABLES,
        "dialogue": "a script hands environments of its own to rekindle.train; on verl they are agent loops of verl's",
        "model": "verl takes the model: actor_rollout_ref.model.path=...",
        "warm_start": "verl begins with a ready model: actor_rollout_ref.model.path=...",
        "eval": "verl evaluates: trainer.test_freq=..., data.val_files=...",
        "task": "verl takes prompts and rewards: data.train_files=..., reward.custom_reward_function.path=...; with "
        "rekindle.task.source or rekindle.task.environment they are rekindle's",
        "rewards": "verl takes the reward: reward.custom_reward_function.path=...",
        "verify": "verl takes the reward: reward.custom_reward_function.path=...",
        "judge": "verl takes the reward: reward.reward_model.enable=True, or a reward function that asks the judge",
        "audits": "verl has no second opinions; return them from the reward function, as further values of its dict",
        "tracking": "verl has the trackers: trainer.logger=[...]",
        "optimizer.batch_exponent": "verl's schedule sets the learning rate of every step; remove it",
        "engine.min_p": "verl passes no min_p on to its engines; remove it",
        "engine.stop": "verl's agent loops end a completion; remove it",
        "model.revision": "give the directory of the revision: actor_rollout_ref.model.path=...",
        "model.float32_head": "verl computes logits in the dtype of its engine; remove it",
        "train.threads": "set the environment variable OMP_NUM_THREADS",
    }
)
"""What there is instead of a key, by key or table; the longest name counts."""
PLACES = Places(
    belongs="{} belongs to verl: set {}",
    table_example="+rekindle.{}.KEY=VALUE",
    settings=SETTINGS,
    elsewhere=ELSEWHERE,
    keys=(*COMMON_KEYS, "train.max_off_policy_steps"),
    decided=frozenset({"optimizer.minibatches", "optimizer.schedule", "train.groups_per_step", "train.learning_rate"}),
    old_logprobs="belongs to verl, which computes them before an update; remove it",
)
"""Where keys are on verl."""


def refuse_tables(tables: Mapping[str, Any]) -> None:
    """Refuse keys that verl decides, or has no place for; unknown keys are left to the configuration.

    Raises:
        ConfigError: There are such keys; one line each.
    """
    with_environments(PLACES, tables).refuse(tables)
