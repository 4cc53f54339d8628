"""Checks of a model directory without torch: its files, and its number of weights."""

import json
import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rekindle.types import UserError

__all__ = ["ModelError", "check_directory", "check_tokenizer", "expected_device", "saved_parameters"]

WEIGHT_FILES = ("*.safetensors", "pytorch_model*.bin")
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json", "vocab.txt")
DRIVERS = ("/dev/nvidiactl", "/dev/dxg")
"""Where a driver of NVIDIA's, or that of WSL, is there."""
MOST_HEADER_BYTES = 100_000_000
"""Of a safetensors file, by its specification."""


class ModelError(UserError):
    """A model directory cannot be used; the message says what is missing and the remedy."""


def check_directory(directory: Path) -> None:
    """See whether the files of a model are there.

    Raises:
        ModelError: The directory, its config.json or its weights are missing.
    """
    if not directory.is_dir():
        raise ModelError(
            f"there is no model directory at {directory}; give the path of a downloaded Hugging Face model"
        )
    if not (directory / "config.json").is_file():
        raise ModelError(f"{directory} has no config.json; give a directory that save_pretrained wrote")
    if not any(next(directory.glob(pattern), None) for pattern in WEIGHT_FILES):
        raise ModelError(f"{directory} has no weights ({', '.join(WEIGHT_FILES)}); download the model completely")


def check_tokenizer(directory: Path) -> None:
    """See whether the files of a tokenizer are there.

    Raises:
        ModelError: There are none.
    """
    if not any((directory / name).is_file() for name in TOKENIZER_FILES):
        raise ModelError(f"{directory} has no tokenizer; copy the tokenizer files of the model into it")


def saved_parameters(directory: Path) -> int | None:
    """Number of weights that the headers of the safetensors files name; None where there is no readable header."""
    try:
        shapes = {name: shape for path in directory.glob("*.safetensors") for name, shape in _shapes(path)}
    except (OSError, ValueError, struct.error, AttributeError, KeyError, TypeError):
        return None
    return sum(map(math.prod, shapes.values())) or None


def _shapes(path: Path) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Name and shape of every tensor: eight bytes say how long the JSON header is that follows them."""
    with path.open("rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        if size > MOST_HEADER_BYTES:
            raise ValueError(f"{path} has a header of {size} bytes")
        header: dict[str, Any] = json.loads(file.read(size))
    return ((name, tuple(entry["shape"])) for name, entry in header.items() if name != "__metadata__")


def expected_device(name: str) -> str:
    """The device that ``model.device`` will most likely be, as torch is not asked: "auto" where there may be a GPU."""
    if name != "auto" or any(Path(driver).exists() for driver in DRIVERS):
        return name
    return "cpu"
