"""Verifiers: they judge completions within a time limit and fail closed."""

from rekindle.verifiers.exact import exact_match
from rekindle.verifiers.maths import math_equal
from rekindle.verifiers.qa import cover_match, f1, qa_exact_match

__all__ = ["cover_match", "exact_match", "f1", "math_equal", "qa_exact_match"]
