"""Who judges an answer: time-limited, fail closed."""

from rekindle.verifiers.exact import exact_match
from rekindle.verifiers.maths import math_equal

__all__ = ["exact_match", "math_equal"]
