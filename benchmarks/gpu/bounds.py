"""Bounds of a device, measured: matrix products of a model's own shapes, and copies of memory."""

import time
from collections.abc import Callable

import torch

from rekindle.planning.shapes import ModelShape

__all__ = ["clock", "copy_bandwidth", "matrix_peak", "products"]

REPEATS = 6
"""Of each measurement; the best counts, the first warms up."""
COPIED = {"cuda": 2**30, "cpu": 2**26}
"""Bytes of a copy, more than any cache holds."""


def clock(device: torch.device) -> float:
    """Seconds: CPU time of the process; wall time with a GPU, after it has finished."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        return time.perf_counter()
    return time.process_time()


def products(shape: ModelShape) -> dict[tuple[int, int], int]:
    """Products of a forward pass: (width of the input, width of the output) -> how often."""
    width, layers = shape.hidden_size, shape.layers
    queries, keys = shape.heads * shape.head_size, shape.kv_heads * shape.head_size
    counts: dict[tuple[int, int], int] = {}
    for pair, count in (
        ((width, queries), layers),
        ((width, keys), 2 * layers),
        ((queries, width), layers),
        ((width, shape.intermediate_size), 2 * layers),
        ((shape.intermediate_size, width), layers),
        ((width, shape.vocabulary), 1),
    ):
        counts[pair] = counts.get(pair, 0) + count
    return counts


def matrix_peak(shape: ModelShape, tokens: int, device: torch.device, dtype: torch.dtype) -> float:
    """Floating-point operations per second of the products of a model's forward pass over ``tokens`` tokens."""
    operations = seconds = 0.0
    for (inner, outer), count in products(shape).items():
        left = torch.ones(tokens, inner, device=device, dtype=dtype)
        right = torch.ones(outer, inner, device=device, dtype=dtype)
        operations += 2.0 * count * tokens * inner * outer
        seconds += count * _best(lambda left=left, right=right: left @ right.T, device)  # type: ignore[misc]
    return operations / seconds


def copy_bandwidth(device: torch.device) -> float:
    """Bytes per second that a copy reads and writes."""
    size = COPIED[device.type]
    source = torch.ones(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * size / _best(lambda: target.copy_(source), device)


def _best(work: Callable[[], object], device: torch.device) -> float:
    """Least seconds of a call."""
    found = []
    for _ in range(REPEATS):
        began = clock(device)
        work()
        found.append(clock(device) - began)
    return max(min(found[1:]), 1e-9)
