"""Loading of a Hugging Face model directory, with one-sentence errors. Never uses the network."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as transformers_logging

from rekindle.choices import few, one_line
from rekindle.hardware import computes_bfloat16
from rekindle.models.directory import ModelError, check_directory, check_tokenizer
from rekindle.notices import warn

__all__ = [
    "DTYPES",
    "ModelError",
    "check_vocabulary",
    "load_model",
    "load_tokenizer",
    "resolve_device",
    "resolve_dtype",
    "without_progress_bars",
]

REPORTERS = ("transformers.modeling_utils", "transformers.modeling_layers", "transformers.utils.loading_report")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


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


@contextmanager
def _without_reports() -> Iterator[None]:
    """Hide transformers' tables of missing weights, of which our own messages speak."""
    loggers = [logging.getLogger(name) for name in REPORTERS]
    for logger in loggers:  # a filter, because transformers reads the loggers' levels for other purposes
        logger.addFilter(_is_error)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(_is_error)


def _is_error(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR


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
    if name == "bfloat16" and device.type == "cpu" and not computes_bfloat16("cpu"):
        warn('this processor has no bfloat16 instructions and emulates them slowly; prefer dtype = "float32"')
    return DTYPES[name]


def load_model(directory: Path, device: torch.device, dtype: torch.dtype, *, trust_remote_code: bool) -> Any:
    """Return the causal language model saved in ``directory``, in evaluation mode.

    Raises:
        ModelError: The directory, its config.json or its weights are missing, unreadable, not finite, or do not fit.
    """
    check_directory(directory)
    try:
        with without_progress_bars(), _without_reports():
            model, loading = AutoModelForCausalLM.from_pretrained(
                directory,
                dtype=dtype,
                trust_remote_code=trust_remote_code,
                local_files_only=True,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # refused below, with names
            )
    except Exception as error:  # the boundary to the model's own code and to readers of several file formats
        raise ModelError(
            f"transformers cannot load a causal language model from {directory}: {one_line(error)}"
        ) from error
    _refuse_other_weights(directory, loading)
    if (broken := first_not_finite(model)) is not None:
        raise ModelError(
            f"the weights of {directory} are not finite ({broken}); use an earlier checkpoint, or save it again"
        )
    return model.to(device).eval()


def first_not_finite(model: Any) -> str | None:
    """Name of the first parameter with a value that is not finite; None where all are finite."""
    return next((name for name, weight in model.named_parameters() if not weight.isfinite().all()), None)


def _refuse_other_weights(directory: Path, loading: Mapping[str, Any]) -> None:
    """Refuse weights that transformers would make up; warn of those in the files that the model does not have."""
    missing, further = sorted(map(str, loading["missing_keys"])), sorted(map(str, loading["unexpected_keys"]))
    # transformers 4 gives names, transformers 5 names with both shapes.
    other_shapes = sorted(one if isinstance(one, str) else str(one[0]) for one in loading.get("mismatched_keys", ()))
    remedy = "they would be random; give the directory that belongs to its config.json, or download the model again"
    if other_shapes:
        raise ModelError(
            f"weights of {directory} have another shape than its config.json says: {few(other_shapes, 3)}; download "
            "the model again, or give the config.json that belongs to it"
        )
    if missing:
        renamed = f" (the files have others instead: {few(further, 3)})" if further else ""
        raise ModelError(f"weights are missing in {directory}: {few(missing, 3)}{renamed}; {remedy}")
    if further:
        warn(f"{directory} has weights that the model does not use: {few(further, 3)}; they are left out")


def check_vocabulary(model: Any, tokenizer: Any, directory: Path) -> None:
    """Refuse a tokenizer with more tokens than the model has embeddings for.

    Tokens that were added to a tokenizer, such as one for padding, may be beyond: prompts are checked for them.

    Raises:
        ModelError: Tokens of the vocabulary itself are beyond.
    """
    rows = len(model.get_input_embeddings().weight)
    own = len(tokenizer) - sum(index >= rows for index in tokenizer.added_tokens_decoder)
    if own > rows:
        raise ModelError(
            f"the tokenizer in {directory} has {len(tokenizer)} tokens, and the model has embeddings for {rows}; copy "
            "the model's own tokenizer files into it"
        )


def load_tokenizer(directory: Path, *, trust_remote_code: bool) -> Any:
    """Return the tokenizer saved in ``directory``.

    Raises:
        ModelError: The tokenizer is missing or unreadable.
    """
    check_tokenizer(directory)
    try:
        return AutoTokenizer.from_pretrained(directory, trust_remote_code=trust_remote_code, local_files_only=True)
    except Exception as error:  # as above; the readers of tokenizers raise bare exceptions
        raise ModelError(f"transformers cannot load a tokenizer from {directory}: {one_line(error)}") from error
