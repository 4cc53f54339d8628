"""The versions of TRL that the integration was tested with, and the internal names of TRL that it relies on.

An internal name may change in any release. ``check_versions`` compares the signatures with those of the installed
packages when the integration is imported; the tests of ``make test-trl`` check the attributes as well.
"""

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

from rekindle.types import UserError

__all__ = [
    "ATTRIBUTES",
    "BEFORE",
    "KEYS",
    "LOWEST",
    "PRIVATE",
    "RANGE",
    "check_versions",
    "missing",
    "missing_attributes",
    "missing_functions",
    "missing_keys",
]

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


def check_versions() -> None:
    """Check that a release of TRL is installed that the integration was tested with.

    Raises:
        UserError: There is no TRL, it is an untested release, or a function that the integration relies on changed.
    """
    installed = _installed("trl")
    if installed is None:
        raise UserError('rekindle.integrations.trl needs trl, which is not installed; run: pip install "rekindle[trl]"')
    if not LOWEST <= _release(installed) < BEFORE:
        raise UserError(
            f"trl {installed} is installed, and rekindle.integrations.trl was tested with {RANGE}; "
            f'run: pip install "{RANGE}"'
        )
    for sentence in missing_functions():
        raise UserError(sentence)


def missing() -> list[str]:
    """A sentence for each internal name that is not what the integration was written for; reads TRL's source."""
    return [*missing_functions(), *missing_attributes(), *missing_keys()]


def missing_keys() -> Iterator[str]:
    """The sentences about keys of batches and metrics, which need the source of TRL's functions."""
    for place, names in KEYS.items():
        found = _find(place)
        texts = _texts(inspect.getsource(found)) if inspect.isfunction(found) else names  # what is gone was named
        yield from (_sentence(place, f'no longer has "{name}"') for name in names if name not in texts)


def _installed(distribution: str) -> str | None:
    """The version of an installed distribution. A folder of that name on the path is none."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _release(text: str) -> tuple[int, int]:
    """(1, 16) of "1.16.0rc1"; (0, 0) of what is no version."""
    found = re.match(r"(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def missing_functions() -> Iterator[str]:
    """The sentences about functions, which cost milliseconds."""
    for place, parameters in PRIVATE.items():
        found = _find(place)
        if not callable(found):
            yield _sentence(place, "is gone")
        elif (now := ", ".join(inspect.signature(found).parameters)) != parameters:
            yield _sentence(place, f"now takes ({now}), and rekindle.integrations.trl was written for ({parameters})")


def missing_attributes() -> Iterator[str]:
    """The sentences about attributes, which need the source of TRL's classes."""
    for place, names in ATTRIBUTES.items():
        owner = _find(place)
        given = _given_attributes(owner) if inspect.isclass(owner) else set()
        yield from (_sentence(f"{place}.{name}", "is gone") for name in names if name not in given)


def _find(place: str) -> object | None:
    """What "module:name.name" names; None where there is nothing."""
    module, _, path = place.partition(":")
    try:
        found: object = import_module(module)
        for name in path.split("."):
            found = getattr(found, name)
    except (ImportError, AttributeError):
        return None
    return found


def _given_attributes(owner: type) -> set[str]:
    """Names that a class has, or that a method of it or of its bases assigns to ``self``."""
    names = set(dir(owner))
    for one in owner.__mro__[:-1]:
        names.update(_assigned_to_self(textwrap.dedent(inspect.getsource(one))))
    return names


def _assigned_to_self(source: str) -> Iterator[str]:
    stored = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Attribute))
    for node in stored:
        if isinstance(node.ctx, ast.Store) and ast.unparse(node.value) == "self":
            yield node.attr


def _texts(source: str) -> set[str]:
    nodes = ast.walk(ast.parse(textwrap.dedent(source)))
    return {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def _sentence(place: str, what: str) -> str:
    module, _, name = place.partition(":")
    package = module.split(".")[0]
    title = {"trl": "TRL"}.get(package, package)
    return f'{title} {_installed(package)}: {name} {what}; run: pip install "{RANGE}"'
