"""Token filters: they select the trained tokens of a rollout by log-probability, with any estimator.

A filter sees the trainable tokens of one rollout, all turns, before micro-batching. A dropped token has advantage
0 and still counts in the rollout's length, so filtering changes no aggregation weight.
"""

import math
from collections.abc import Sequence

import numpy as np

from rekindle.types import UserError

__all__ = ["lowest_probability"]

ROUNDING = 1e-12
"""Relative tolerance: rounding can lift keep_ratio * n above a whole number (0.1 * 30 = 3.0000000000000004). It is
thousands of times that error, and less than one token for any real rollout."""
SHORT = 32
"""Up to this many tokens Python's stable sort is faster than numpy's."""


def lowest_probability(logprobs: Sequence[float], keep_ratio: float) -> list[bool]:
    """Negative token filtering (arXiv 2606.17250): keep the ceil(keep_ratio * n) least likely tokens of a rollout.

    Meant for rollouts of negative advantage. With one rollout per prompt nothing offsets the penalty on tokens that
    right and wrong answers share, and these are the likely ones.

    Args:
        logprobs: [n] behaviour log-probabilities of the trainable tokens, of the whole rollout.
        keep_ratio: The paper's kappa, in (0, 1]; 1 keeps every token.

    Returns:
        [n] True where the token is trained: at least one; of equally likely tokens the earlier ones.

    Raises:
        UserError: ``keep_ratio`` is outside (0, 1].
    """
    if not 0 < keep_ratio <= 1:
        raise UserError(
            f"lowest_probability keeps a share of a rollout's tokens, and keep_ratio is {keep_ratio}; "
            "give a number above 0 and up to 1 (1 keeps every token)"
        )
    kept = max(1, math.ceil(keep_ratio * len(logprobs) * (1 - ROUNDING)))
    if len(logprobs) <= SHORT:
        mask = [False] * len(logprobs)
        for position in sorted(range(len(logprobs)), key=logprobs.__getitem__)[:kept]:
            mask[position] = True
        return mask
    keep = np.zeros(len(logprobs), dtype=bool)
    keep[np.argsort(np.asarray(logprobs, dtype=np.float64), kind="stable")[:kept]] = True
    return keep.tolist()
