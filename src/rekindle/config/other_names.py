"""Names of settings elsewhere: earlier names of our own keys, and those of TRL, verl and transformers.

A key under an earlier name is read as the key of today, with a warning. A name of another trainer is an unknown key;
the tables here say which key has its meaning, or that there is none.
"""

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["ABSENT", "EARLIER", "ELSEWHERE", "leaves", "meaning_of"]

EARLIER: Mapping[str, str] = {
    **{f"train.{name}": f"optimizer.{name}" for name in (
        "warmup_steps", "schedule", "weight_decay", "beta1", "beta2", "grad_clip", "batch_exponent", "epochs",
        "minibatches", "microbatch_tokens",
    )},
    **{f"train.{name}": f"loss.{name}" for name in (
        "clip_low", "clip_high", "aggregation", "old_logprobs", "off_temperature", "importance_cap", "kl_coefficient",
        "tool_tokens",
    )},
    **{f"train.{name}": f"advantage.{name}" for name in (
        "estimator", "baseline_strength", "zero_variance_scale", "negative_keep_ratio",
    )},
    "train.loss": "loss.kind",
    "train.max_barren_steps": "train.max_steps_without_signal",
    "self_play.yardstick_samples": "self_play.reference_samples",
}  # fmt: skip
"""Today's key by its earlier name."""

_ELSEWHERE: Mapping[str, tuple[str, ...]] = {
    # length of the run
    "train.steps": ("max_steps", "total_training_steps", "num_train_epochs", "total_epochs", "num_epochs",
                    "total_episodes", "num_episodes"),
    "train.seed": ("data_seed", "random_seed"),
    "--out": ("output_dir", "default_local_dir", "logging_dir", "save_path", "ckpt_path"),
    "--resume": ("resume_from_checkpoint", "resume_mode", "load_checkpoint"),
    # model
    "model.path": ("model_name_or_path", "model_name", "pretrain", "policy_model", "base_model", "model_id"),
    'model.dtype = "bfloat16"': ("bf16", "fp16", "torch_dtype", "precision", "mixed_precision"),
    "model.template_variables": ("chat_template_kwargs", "apply_chat_template_kwargs", "enable_thinking"),
    "model.template": ("chat_template_path", "custom_chat_template"),
    # tasks
    "task.path": ("dataset_name", "train_files", "prompt_data", "dataset", "data_path", "train_file"),
    "task.eval_path": ("val_files", "eval_dataset", "validation_files", "test_file"),
    "task.subset": ("dataset_config", "dataset_config_name", "config_name"),
    "task.split": ("dataset_train_split", "train_split", "prompt_split"),
    "task.eval_split": ("dataset_test_split", "test_split", "dataset_eval_split", "validation_split"),
    "task.revision": ("dataset_revision",),
    "task.columns.prompt": ("prompt_key", "input_key", "prompt_column", "dataset_text_field"),
    "task.columns.answer": ("answer_key", "label_key", "answer_column"),
    "rewards": ("reward_funcs", "custom_reward_function", "reward_function", "reward_fn", "reward_weights"),
    "task.verifier": ("reward_model", "remote_rm_url"),
    "task.overlong_prompts": ("max_prompt_length", "filter_overlong_prompts", "prompt_max_len"),
    "task.pool_size": ("max_samples", "train_max_samples", "max_train_samples"),
    # rollouts
    "train.group_size": ("num_generations", "n", "n_samples_per_prompt", "num_samples_per_prompt", "rollout_n",
                         "num_return_sequences"),
    "train.groups_per_step": ("train_batch_size", "generation_batch_size", "per_device_train_batch_size",
                              "rollout_batch_size", "gen_batch_size", "num_prompts_per_step"),
    "engine.max_new_tokens": ("max_completion_length", "max_response_length", "max_tokens", "generate_max_len",
                              "response_length"),
    "engine.max_rows": ("max_num_seqs", "micro_rollout_batch_size"),
    "train.max_off_policy_steps": ("max_staleness", "staleness_threshold", "max_head_offpolicyness", "async_level",
                                   "max_async_level"),
    "refill.max_rounds": ("max_num_gen_batches", "filter_groups", "dynamic_sampling"),
    # advantages and loss
    "advantage.estimator": ("adv_estimator", "scale_rewards", "norm_adv_by_std_in_grpo", "advantage_estimator",
                            "std_normalization"),
    "loss.kl_coefficient": ("beta", "kl_coef", "kl_loss_coef", "init_kl_coef", "use_kl_loss"),
    "loss.clip_low": ("epsilon", "clip_ratio", "clip_ratio_low", "cliprange", "eps_clip", "eps_clip_low",
                       "epsilon_low"),
    "loss.clip_high": ("epsilon_high", "clip_ratio_high", "eps_clip_high"),
    'overlong.kind = "masked"': ("mask_truncated_completions", "overlong_filter", "overlong_filtering"),
    'overlong.kind = "penalty"': ("soft_overlong_punishment", "overlong_buffer"),
    "overlong.buffer": ("overlong_buffer_len", "soft_punish_cache"),
    "overlong.factor": ("overlong_penalty_factor",),
    "loss.aggregation": ("loss_agg_mode", "loss_aggregation"),
    "loss.kind": ("loss_type", "importance_sampling_level", "policy_loss"),
    # optimizer
    "train.learning_rate": ("lr", "actor_learning_rate", "peak_lr"),
    "optimizer.warmup_steps": ("warmup_ratio", "lr_warmup_steps", "lr_warmup_steps_ratio", "num_warmup_steps"),
    "optimizer.schedule": ("lr_scheduler_type", "lr_scheduler", "warmup_style"),
    "optimizer.grad_clip": ("max_grad_norm", "gradient_clipping", "max_norm", "clip_grad"),
    "optimizer.beta1": ("adam_beta1",),
    "optimizer.beta2": ("adam_beta2",),
    "optimizer.epochs": ("num_iterations", "ppo_epochs", "num_ppo_epochs"),
    "optimizer.minibatches": ("ppo_mini_batch_size", "num_mini_batches", "steps_per_generation"),
    "optimizer.microbatch_tokens": ("gradient_accumulation_steps", "ppo_micro_batch_size", "micro_train_batch_size",
                                    "ppo_micro_batch_size_per_gpu", "ppo_max_token_len_per_gpu"),
    # model
    "model.lora.rank": ("lora", "lora_rank", "lora_r", "use_peft", "peft_config", "adapter", "use_rslora"),
    "model.lora.alpha": ("lora_alpha",),
    "model.lora.targets": ("lora_target_modules", "target_modules"),
    "model.gradient_checkpointing": ("enable_gradient_checkpointing", "activation_checkpointing"),
    # trackers
    "track": ("report_to", "logger", "loggers", "log_with", "tracker", "trackers"),
    'track = ["tensorboard"]': ("tensorboard", "use_tensorboard", "tensorboard_dir", "tensorboard_path"),
    'track = ["wandb"]': ("wandb", "use_wandb", "wandb_enabled"),
    'track = ["mlflow"]': ("mlflow", "use_mlflow", "mlflow_enabled"),
    'track = ["trackio"]': ("trackio", "use_trackio"),
    "tracking.project": ("project_name", "wandb_project", "mlflow_experiment_name", "trackio_project"),
    "tracking.name": ("run_name", "experiment_name", "exp_name", "wandb_run_name", "wandb_name"),
    # evaluation and files
    "eval.every": ("eval_steps", "test_freq", "eval_strategy", "evaluation_strategy"),
    "eval.prompts": ("max_eval_samples", "val_max_samples", "val_batch_size", "per_device_eval_batch_size"),
    "checkpoint.every": ("save_steps", "save_freq", "save_strategy"),
    "checkpoint.keep": ("save_total_limit", "max_actor_ckpt_to_keep", "max_ckpt_num"),
}  # fmt: skip

ELSEWHERE: Mapping[str, str] = {name: key for key, names in _ELSEWHERE.items() for name in names}
"""Our key, perhaps with its value, or an option of the command, by its name in other trainers."""

_ABSENT: Mapping[str, tuple[str, ...]] = {
    "LoRA has no dropout, so that engine and trainer agree; remove it": ("lora_dropout",),
    "weights are not quantized (no QLoRA); choose a smaller model, model.dtype = \"bfloat16\", or model.lora.rank": (
        "load_in_4bit", "load_in_8bit", "quantization_config", "quantization", "bnb_4bit_quant_type",
    ),
    "every step is written to metrics.jsonl and handed to the trackers of track; remove it": (
        "logging_steps", "logging_first_step", "logging_strategy", "logging_nan_inf_filter", "log_freq", "log_interval",
    ),
    "samples of what the policy writes are not handed to trackers; remove it": (
        "log_completions", "num_completions_to_print", "log_val_generations", "log_unique_prompts",
    ),
    'the trackers are track = ["tensorboard", "wandb", "mlflow", "trackio"]; remove it': (
        "swanlab", "neptune", "comet_ml", "comet", "clearml", "dvclive", "aim", "azure_ml", "vemlp_wandb",
    ),
    "trackers take it from their own environment variables (docs/howto/trackers.md); remove it": (
        "wandb_entity", "wandb_org", "wandb_group", "wandb_tags", "wandb_mode", "wandb_api_key", "wandb_watch",
        "wandb_log_model", "mlflow_tracking_uri", "tracking_uri", "trackio_space_id",
    ),
    "rollouts come from rekindle's own engine; remove it": (
        "use_vllm", "vllm_mode", "vllm_server_host", "vllm_gpu_memory_utilization", "vllm_tensor_parallel_size",
        "gpu_memory_utilization", "tensor_model_parallel_size", "enforce_eager", "vllm_num_engines", "use_sglang",
        "free_cache_engine",
    ),
    "a run is one process on one device; remove it": (
        "deepspeed", "fsdp", "fsdp_config", "zero_stage", "nnodes", "n_gpus_per_node", "num_gpus", "num_processes",
        "param_offload", "optimizer_offload", "ulysses_sequence_parallel_size", "local_rank", "ddp_backend",
    ),
    "micro-batches are bounded by optimizer.microbatch_tokens instead; remove it": (
        "use_remove_padding", "padding_free", "use_dynamic_bsz",
    ),
    "the kernels are chosen by a measurement; remove it": (
        "attn_implementation", "use_flash_attention", "flash_attn", "use_liger_kernel", "use_liger_loss",
        "torch_compile",
    ),
    "sampling has engine.top_p and engine.min_p; remove it, or use one of them": (
        "top_k", "repetition_penalty", "presence_penalty", "frequency_penalty",
    ),
    "there is no critic and no discount; remove it": (
        "gamma", "lam", "lambd", "gae_lambda", "value_clip", "vf_coef", "critic", "critic_warmup",
        "critic_learning_rate", "cliprange_value",
    ),
    "there is no entropy bonus; remove it": ("entropy_coeff", "entropy_coef", "ent_coef", "entropy_bonus"),
    "the optimizer is AdamW; remove it": ("optim", "optimizer_type", "adam_epsilon", "adam_eps"),
    "nothing is uploaded; `model/` in the run directory is a transformers directory": (
        "push_to_hub", "hub_model_id", "hub_token",
    ),
}  # fmt: skip

ABSENT: Mapping[str, str] = {name: words for words, names in _ABSENT.items() for name in names}
"""What there is instead, by a name that has no key here."""


def meaning_of(path: str, known: Mapping[str, Any]) -> str | None:
    """What to write instead of a name of another trainer; None where the name is not known.

    Args:
        path: The unknown key, e.g. ``train.lr`` or ``actor_rollout_ref.actor.optim.lr``.
        known: Our keys by path; a key of the same table is preferred.
    """
    table, _, name = path.rpartition(".")
    name = name.lower()
    if name in ABSENT:
        return ABSENT[name]
    if name not in ELSEWHERE:
        return None
    key = ELSEWHERE[name]
    sibling = f"{table}.{key.rpartition('.')[2]}"
    return f"did you mean {sibling if sibling in known else key}?"


def leaves(path: str, value: object) -> Iterator[str]:
    """Path of every key in a value, which may be a table of tables."""
    if not isinstance(value, Mapping) or not value:
        yield path
        return
    for name, inner in value.items():
        yield from leaves(f"{path}.{name}", inner)
