"""Accuracy on held-out prompts."""

from rekindle.evaluation.pass_at_k import pass_at_k

__all__ = ["pass_at_k"]
