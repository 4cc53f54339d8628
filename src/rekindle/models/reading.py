"""Reading of a model and its tokenizer from a directory: every time anew, or once for several runs."""

import copy
from pathlib import Path
from typing import Any, Protocol

import torch

from rekindle.models.loading import check_vocabulary, load_model, load_tokenizer

__all__ = ["KeptModel", "ReadModel", "read_model"]


class ReadModel(Protocol):
    """Reads a directory as a transformers model, which the caller may change, and its tokenizer."""

    def __call__(
        self, directory: Path, device: torch.device, dtype: torch.dtype, *, trust_remote_code: bool
    ) -> tuple[Any, Any]:
        """The model on a device, in evaluation mode, and the tokenizer.

        Raises:
            ModelError: The directory cannot be used.
        """
        ...


def read_model(
    directory: Path, device: torch.device, dtype: torch.dtype, *, trust_remote_code: bool
) -> tuple[Any, Any]:
    """See ``ReadModel``; the files are read."""
    model = load_model(directory, device, dtype, trust_remote_code=trust_remote_code)
    tokenizer = load_tokenizer(directory, trust_remote_code=trust_remote_code)
    check_vocabulary(model, tokenizer, directory)
    return model, tokenizer


class KeptModel:
    """A ``ReadModel`` that keeps the last model in main memory and gives copies of it; the files must not change."""

    def __init__(self) -> None:
        self._key: object = None
        self._kept: tuple[Any, Any] = (None, None)

    def __call__(
        self, directory: Path, device: torch.device, dtype: torch.dtype, *, trust_remote_code: bool
    ) -> tuple[Any, Any]:
        """See ``ReadModel``; the files are read the first time."""
        key = (directory.resolve(), dtype, trust_remote_code)
        if key != self._key:
            self._key, self._kept = None, (None, None)  # frees the one before
            self._kept = read_model(directory, torch.device("cpu"), dtype, trust_remote_code=trust_remote_code)
            self._key = key
        model, tokenizer = copy.deepcopy(self._kept)
        return model.to(device), tokenizer
