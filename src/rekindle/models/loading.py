"""Loading of a Hugging Face model directory, with one-sentence errors. Never uses the network."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as transformers_logging

from rekindle.types import UserError

__all__ = ["ModelError", "load_model", "load_tokenizer", "resolve_device", "resolve_dtype", "without_progress_bars"]

logger = logging.getLogger(__name__)

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
WEIGHT_FILES = ("*.safetensors", "pytorch_model*.bin")
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json", "vocab.txt")


class ModelError(UserError):
    """A model directory cannot be used; the message gives the cause and the remedy."""


@contextmanager
def without_progress_bars() -> Iterator[None]:
    """Disable transformers' progress bars, which would overwrite our own, while it reads or writes weights."""
    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()


def resolve_device(name: str) -> torch.device:
    """Return the device called ``name``; "auto" is the GPU when there is one.

    Raises:
        ModelError: The name is unknown, or the GPU does not exist.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ModelError(f'device = "{name}" is not a device; use "auto", "cpu", "cuda" or "cuda:N"') from error
    if device.type not in {"cpu", "cuda"}:
        raise ModelError(f'device = "{name}" is not supported; use "auto", "cpu", "cuda" or "cuda:N"')
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ModelError(
            f'device = "{name}" was asked for, but torch sees {torch.cuda.device_count()} CUDA devices; '
            'use device = "cpu" or "auto", or install a CUDA build of torch'
        )
    return device


def resolve_dtype(name: str, device: torch.device) -> torch.dtype:
    """Return the dtype called ``name``; warns when the CPU would emulate it.

    Raises:
        ModelError: The name is neither "float32" nor "bfloat16".
    """
    if name not in DTYPES:
        raise ModelError(f'dtype = "{name}" is not supported; use {" or ".join(f"{key!r}" for key in DTYPES)}')
    native = device.type != "cpu" or torch.cpu._is_avx512_bf16_supported()
    if name == "bfloat16" and not native:
        logger.warning('this processor has no bfloat16 instructions and emulates them slowly; prefer dtype = "float32"')
    return DTYPES[name]


def load_model(directory: Path, device: torch.device, dtype: torch.dtype, *, trust_remote_code: bool) -> Any:
    """Return the causal language model saved in ``directory``, in evaluation mode.

    Raises:
        ModelError: The directory, its config.json or its weights are missing, unreadable or not finite.
    """
    if not directory.is_dir():
        raise ModelError(
            f"there is no model directory at {directory}; give the path of a downloaded Hugging Face model"
        )
    if not (directory / "config.json").is_file():
        raise ModelError(f"{directory} has no config.json; give a directory that save_pretrained wrote")
    if not any(next(directory.glob(pattern), None) for pattern in WEIGHT_FILES):
        raise ModelError(f"{directory} has no weights ({', '.join(WEIGHT_FILES)}); download the model completely")
    try:
        with without_progress_bars():
            model = AutoModelForCausalLM.from_pretrained(
                directory, dtype=dtype, trust_remote_code=trust_remote_code, local_files_only=True
            )
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise ModelError(f"transformers cannot load a causal language model from {directory}: {error}") from error
    broken = next((name for name, weight in model.named_parameters() if not weight.isfinite().all()), None)
    if broken is not None:
        raise ModelError(
            f"the weights of {directory} are not finite ({broken}); use an earlier checkpoint, or save it again"
        )
    return model.to(device).eval()


def load_tokenizer(directory: Path, *, trust_remote_code: bool) -> Any:
    """Return the tokenizer saved in ``directory``.

    Raises:
        ModelError: The tokenizer is missing or unreadable.
    """
    if not any((directory / name).is_file() for name in TOKENIZER_FILES):
        raise ModelError(f"{directory} has no tokenizer; copy the tokenizer files of the model into it")
    try:
        return AutoTokenizer.from_pretrained(directory, trust_remote_code=trust_remote_code, local_files_only=True)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise ModelError(f"transformers cannot load a tokenizer from {directory}: {error}") from error
