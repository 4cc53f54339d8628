"""The unbiased estimator of pass@k (arXiv 2107.03374)."""

import math

__all__ = ["pass_at_k"]


def pass_at_k(samples: int, correct: int, k: int) -> float:
    """Unbiased estimate of the probability that at least one of ``k`` samples is correct: 1 - C(n - c, k) / C(n, k).

    Args:
        samples: n, samples drawn.
        correct: c, correct samples.
        k: At most n.

    Raises:
        ValueError: k is outside 1..n, or c outside 0..n.
    """
    if not 1 <= k <= samples:
        raise ValueError(f"pass@{k} needs at least {k} samples and k >= 1; there are {samples}")
    if not 0 <= correct <= samples:
        raise ValueError(f"{correct} correct of {samples} samples is impossible")
    return 1.0 - math.comb(samples - correct, k) / math.comb(samples, k)
