"""State of a run as files: arrays in safetensors, all other values in JSON, and files that are surely on the disk."""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError

__all__ = ["UNREADABLE", "finite_json", "join_arrays", "replace_text", "split_arrays", "sync", "sync_tree"]

UNREADABLE = (
    OSError, LookupError, ValueError, TypeError, AttributeError, RuntimeError, ArithmeticError, SafetensorError,
)  # fmt: skip
"""Errors of reading a state that is damaged, or whose parts do not belong together."""

Array = np.ndarray[Any, Any]


def split_arrays(value: Mapping[str, Any], prefix: str = "") -> tuple[dict[str, Any], dict[str, Array]]:
    """Separate nested dictionaries into values without arrays, and arrays by their dotted path."""
    plain: dict[str, Any] = {}
    arrays: dict[str, Array] = {}
    for key, item in value.items():
        if isinstance(item, np.ndarray):
            arrays[prefix + key] = item
        elif isinstance(item, Mapping):
            plain[key], inner = split_arrays(item, f"{prefix}{key}.")
            arrays |= inner
        else:
            plain[key] = item
    return plain, arrays


def join_arrays(values: dict[str, Any], arrays: Mapping[str, Array]) -> dict[str, Any]:
    """Inverse of ``split_arrays``."""
    for name, array in arrays.items():
        *path, key = name.split(".")
        table = values
        for part in path:
            table = table[part]
        table[key] = array
    return values


def sync_tree(directory: Path) -> None:
    """Write everything below a directory, and the directory, to the disk."""
    for path in [*directory.rglob("*"), directory]:
        sync(path)


def sync(path: Path) -> None:
    """Write a file or a directory's entries to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def replace_text(path: Path, text: str) -> None:
    """Write a file whole or not at all; it is on the disk, with its name, when this returns."""
    partial = path.with_name(f".{path.name}")
    partial.write_text(text, encoding="utf-8")
    sync(partial)
    partial.replace(path)
    sync(path.parent)


def finite_json(text: str) -> Any:
    """Parse JSON whose numbers are finite.

    Raises:
        ValueError: The text is no JSON, or a number is not finite, such as ``NaN`` and ``1e999``.
    """
    return json.loads(text, parse_constant=_finite, parse_float=_finite)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text} is not finite")
    return number
