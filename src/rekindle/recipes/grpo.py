"""GRPO (arXiv 2402.03300): every prompt of the pool in turn, groups compared with themselves.

k = 1: each step draws B prompts, and every drawn prompt is consumed until all have been seen. Groups without signal
add no gradient and are left out of the loss's denominators.
"""

from rekindle.config import Config

__all__ = ["grpo"]


def grpo() -> Config:
    """Plain GRPO: standardised advantages, token mean inside each group, symmetric clip, no KL."""
    return Config(recipe="grpo")
