"""GRPO (arXiv 2402.03300): every prompt of the pool in turn, rewards compared within each group.

k = 1: each step draws B prompts, and no prompt is drawn again before all have been. Groups without signal have no
gradient and are left out of the loss's denominators.
"""

from rekindle.config import Config

__all__ = ["grpo"]


def grpo() -> Config:
    """Plain GRPO: standardised advantages, token mean within each group, symmetric clip, no KL."""
    return Config(recipe="grpo")
