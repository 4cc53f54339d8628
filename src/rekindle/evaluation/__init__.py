"""Evaluation on held-out prompts, and profiling of prompt pools."""

from rekindle.evaluation.pass_at_k import pass_at_k

__all__ = ["pass_at_k"]
