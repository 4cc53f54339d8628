"""State of a run as files: arrays in safetensors, all other values in JSON."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from safetensors import SafetensorError

from rekindle.records.run_state import STRANGE

__all__ = ["UNREADABLE", "join_arrays", "split_arrays"]

UNREADABLE = (*STRANGE, SafetensorError)
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
