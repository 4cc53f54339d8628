"""Number of CPU threads: chosen by a measurement where the configuration names none.

More threads are not always faster: on a machine whose processors are shared, two can be ten times slower than one,
because each waits for the other. So the largest layers of the model are multiplied with 1, 2, 4, ... threads, at the
rows of a batch of rollouts, and the smallest number is taken that is about as fast as the best.
"""

import json
import time
from pathlib import Path

import torch
import torch.nn.functional as F

__all__ = ["fastest_threads"]

ROWS, REPEATS = 128, 5
SMALL = 2**18
"""Entries of the largest layer of a model for which one thread is always best."""
WORK = 2**24
"""Entries of the weights of one measurement: 64 MB, more than the caches hold."""
ABOUT_AS_FAST = 1.2


def fastest_threads(model: Path | None) -> int:
    """Smallest number of threads that is about as fast as the best, for the model in a directory.

    At most torch's own number is tried: that of ``OMP_NUM_THREADS``, or of the processors.

    Args:
        model: Directory with a config.json; None for a small model.
    """
    width, wide = _largest_layer(model)
    most = torch.get_num_threads()
    if most == 1 or width * wide <= SMALL:
        return 1
    try:
        seconds = {count: _seconds(count, width, wide) for count in _candidates(most)}
    finally:
        torch.set_num_threads(most)
    return min(count for count, spent in seconds.items() if spent <= ABOUT_AS_FAST * min(seconds.values()))


def _candidates(most: int) -> list[int]:
    """1, 2, 4, ... and the most."""
    return sorted({most, *(2**power for power in range(most.bit_length()) if 2**power <= most)})


def _largest_layer(model: Path | None) -> tuple[int, int]:
    """Inputs and outputs of the feed-forward layers that a config.json describes; zeros where it does not."""
    try:
        config = json.loads((model / "config.json").read_text(encoding="utf-8")) if model else {}
        width = int(config.get("hidden_size") or config["n_embd"])
        return width, int(config.get("intermediate_size") or config.get("n_inner") or 4 * width)
    except (OSError, ValueError, LookupError, TypeError):
        return 0, 0


@torch.inference_mode()
def _seconds(count: int, width: int, wide: int) -> float:
    """Best time of products with weights [wide, width]."""
    torch.set_num_threads(count)
    rows = torch.ones(ROWS, width)
    weights = torch.ones(max(1, WORK // (width * wide)), wide, width)
    best = float("inf")
    for _ in range(REPEATS):
        began = time.perf_counter()
        for weight in weights:
            F.linear(rows, weight)
        best = min(best, time.perf_counter() - began)
    return best
