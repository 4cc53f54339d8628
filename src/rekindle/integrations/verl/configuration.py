"""Small things about verl's configuration: values for a moment, micro-batches, facts of a run, the size of a model."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
import verl
from omegaconf import DictConfig, OmegaConf, open_dict
from transformers import AutoConfig, AutoModelForCausalLM

from rekindle.integrations.verl.words import NAMES

__all__ = ["configured", "facts_of", "micro_batches", "parameters_of"]


@contextmanager
def configured(config: DictConfig, values: Mapping[str, Any]) -> Iterator[None]:
    """Values of a configuration for the body, by dotted path."""
    before = {path: OmegaConf.select(config, path) for path in values}
    try:
        _set(config, values)
        yield
    finally:
        _set(config, before)


def _set(config: DictConfig, values: Mapping[str, Any]) -> None:
    with open_dict(config):
        for path, value in values.items():
            OmegaConf.update(config, path, value)


def micro_batches(tables: DictConfig, *, reference: bool) -> tuple[int | None, list[int]]:
    """Rows of a micro-batch of the update, None where as many as fit; and of passes without gradient.

    Args:
        tables: Table ``actor_rollout_ref``.
        reference: Whether a reference of its own has a pass.
    """
    passes = [tables.rollout, *([tables.ref] if reference else [])]
    scored = [one.log_prob_micro_batch_size_per_gpu for one in passes if not one.log_prob_use_dynamic_bsz]
    return None if tables.actor.use_dynamic_bsz else tables.actor.ppo_micro_batch_size_per_gpu, scored


def facts_of(config: DictConfig, *, parameters: int, held_out: int) -> dict[str, Any]:
    """Facts for ``run.json``.

    Args:
        config: verl's configuration.
        parameters: Number of parameters.
        held_out: Number of held-out prompts.
    """
    return {
        "trainer": f"verl {verl.__version__}",
        "names": dict(NAMES),
        "held_out": held_out,
        "eval_temperature": float(config.actor_rollout_ref.rollout.val_kwargs.temperature),
        "eval_samples": config.actor_rollout_ref.rollout.val_kwargs.n,
        "model": str(config.actor_rollout_ref.model.path),
        "processes": config.trainer.nnodes * config.trainer.n_gpus_per_node,
        "device": str(config.trainer.device),
        "threads": 1,
        "parameters": parameters,
    }


def parameters_of(path: str, *, trust_remote_code: bool) -> int:
    """Number of parameters of a model, from its configuration alone."""
    config = AutoConfig.from_pretrained(path, trust_remote_code=trust_remote_code)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, trust_remote_code=trust_remote_code)
    return int(sum(one.numel() for one in model.parameters()))
