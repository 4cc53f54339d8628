"""Small things about verl's configuration: values for a moment, and the size of a model."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf, open_dict
from transformers import AutoConfig, AutoModelForCausalLM

__all__ = ["configured", "parameters_of"]


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


def parameters_of(path: str, *, trust_remote_code: bool) -> int:
    """Number of parameters of a model, from its configuration alone."""
    config = AutoConfig.from_pretrained(path, trust_remote_code=trust_remote_code)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, trust_remote_code=trust_remote_code)
    return int(sum(one.numel() for one in model.parameters()))
