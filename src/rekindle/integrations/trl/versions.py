"""The versions of TRL that the integration was tested with, and the internal names of TRL that it relies on.

An internal name may change in any release. ``check_versions`` compares the signatures with those of the installed
packages when the integration is imported; the tests of ``make test-trl`` check the attributes as well.
"""

from rekindle.integrations.contracts import Contract, installed, release
from rekindle.types import UserError

__all__ = ["ATTRIBUTES", "BEFORE", "KEYS", "LOWEST", "PRIVATE", "RANGE", "check_versions", "contract"]

LOWEST, BEFORE = (1, 16), (1, 17)
"""The range of releases that the tests ran with: the first of them, and the first that is not one of them."""
RANGE = f"trl>={LOWEST[0]}.{LOWEST[1]},<{BEFORE[0]}.{BEFORE[1]}"
"""The same as a requirement for pip; that of the extra in pyproject.toml."""

GRPO = "trl.trainer.grpo_trainer:GRPOTrainer"
VLLM = "trl.generation.vllm_generation:VLLMGeneration"

PRIVATE = {
    f"{GRPO}._prepare_inputs": "self, generation_batch",
    f"{GRPO}._generate_and_score_completions": "self, inputs",
    f"{GRPO}._generate": "self, prompts",
    f"{GRPO}._generate_single_turn": "self, prompt_ids, images, multimodal_fields, num_generations, has_tool_images",
    f"{GRPO}._tool_call_loop": (
        "self, prompts, prompt_ids, completion_ids, completions, logprobs, images, multimodal_fields"
    ),
    f"{GRPO}._calculate_rewards": "self, inputs, prompts, completions, completion_ids_list",
    f"{GRPO}._get_per_token_logps_and_entropies": (
        "self, model, input_ids, attention_mask, logits_to_keep, batch_size, compute_entropy, compute_aux_loss, "
        "pixel_values, image_grid_thw, num_images, pixel_attention_mask, spatial_shapes, num_tiles, image_sizes, "
        "token_type_ids, mm_token_type_ids, image_position_ids"
    ),
    f"{GRPO}._compute_loss": "self, model, inputs",
    f"{GRPO}.training_step": "self, model, inputs, num_items_in_batch",
    f"{GRPO}.log": "self, logs, start_time",
    f"{GRPO}._get_train_sampler": "self, dataset",
    f"{GRPO}._get_output_dir": "self, trial",
    f"{GRPO}._save_checkpoint": "self, model, trial",
    f"{GRPO}._load_optimizer_and_scheduler": "self, checkpoint",
    f"{GRPO}._load_from_checkpoint": "self, resume_from_checkpoint, model",
    f"{VLLM}.generate": "self, prompts, images, num_generations, profiler",
    f"{VLLM}.sync_weights": "self",
    "accelerate.state:GradientState._set_sync_gradients": "self, sync_gradients",
    "trl.models.utils:disable_gradient_checkpointing": "model, gradient_checkpointing_kwargs",
    "trl.trainer.utils:pad": "tensors, padding_value, padding_side, pad_to_multiple_of",
    "trl.trainer.utils:use_adapter": "model, adapter_name",
    "trl.trainer.utils:add_fused_lm_head": "model, temperature, cast_lm_head_to_fp32, outputs",
}
"""Functions of TRL that the integration overrides or calls: "module:name" -> their parameters, in order."""

ATTRIBUTES = {
    GRPO: (
        "_step",
        "_buffered_inputs",
        "_metrics",
        "_logs",
        "_tokenizer",
        "_last_loaded_step",
        "num_generations",
        "num_iterations",
        "temperature",
        "top_k",
        "top_p",
        "min_p",
        "loss_type",
        "ref_model",
        "rollout_func",
        "reward_func_names",
        "reward_weights",
        "eos_token_ids",
        "pad_to_multiple_of",
        "top_entropy_quantile",
        "aux_loss_enabled",
        "_entropy_bonus_enabled",
        "use_vllm",
        "vllm_importance_sampling_correction",
        "generation_config",
        "vllm_generation",
        "current_gradient_accumulation_steps",
    ),
    VLLM: ("temperature",),
}
"""Attributes that these classes, or classes that they are made of, give to their objects."""


KEYS = {
    f"{GRPO}._generate_and_score_completions": (
        "prompt_ids",
        "prompt_mask",
        "completion_ids",
        "completion_mask",
        "tool_mask",
        "sampling_per_token_logps",
        "old_per_token_logps",
        "importance_sampling_ratio",
        "frac_reward_zero_std",
    ),
    f"{GRPO}._compute_loss": (
        "prompt_ids",
        "prompt_mask",
        "completion_ids",
        "completion_mask",
        "tool_mask",
        "advantages",
        "num_items_in_batch",
        "old_per_token_logps",
        "ref_per_token_logps",
        "importance_sampling_ratio",
        "entropy",
        "kl",
        "clip_ratio/region_mean",
        "cispo_clip_ratio",
    ),
}
"""Keys of batches and metrics that these functions of TRL read or write."""


def contract() -> Contract:
    """The internal names, to be compared with those of the installed packages."""
    return Contract("rekindle.integrations.trl", RANGE, PRIVATE, ATTRIBUTES, KEYS)


def check_versions() -> None:
    """Check that a release of TRL is installed that the integration was tested with.

    Raises:
        UserError: There is no TRL, it is an untested release, or a function that the integration relies on changed.
    """
    found = installed("trl")
    if found is None:
        raise UserError('rekindle.integrations.trl needs trl, which is not installed; run: pip install "rekindle[trl]"')
    if not LOWEST <= release(found)[:2] < BEFORE:
        raise UserError(
            f"trl {found} is installed, and rekindle.integrations.trl was tested with {RANGE}; "
            f'run: pip install "{RANGE}"'
        )
    for sentence in contract().missing_functions():
        raise UserError(sentence)
