"""From a configuration to its verifier, and from a score to a reward."""

from rekindle.config import TaskTable, VerifyTable
from rekindle.verifiers.exact import ExactMatchVerifier
from rekindle.verifiers.maths import MathVerifier
from rekindle.verifiers.protocol import Verifier
from rekindle.verifiers.reasoning_gym import ReasoningGymVerifier

__all__ = ["build_verifier", "reward"]

TOLERANCE = 1e-9
"""A score added up from parts, such as ten times 0.1, is not below 1 for its rounding."""

AUTOMATIC = {"gsm8k": "math", "reasoning_gym": "reasoning_gym"}


def reward(score: float, binary: bool, threshold: float) -> float:
    """Return 1.0 or 0.0 as ``score`` reaches ``threshold`` or not, or, when not ``binary``, the score itself."""
    return float(score >= threshold - TOLERANCE) if binary else score


def build_verifier(task: TaskTable, verify: VerifyTable) -> Verifier:
    """Make the verifier of a configuration; worker processes start with the first verdict that needs one.

    ``auto`` is ``math`` for gsm8k, reasoning-gym's own scorer for reasoning_gym and exact match otherwise.

    Raises:
        MissingExtraError: It needs a package that is not installed.
    """
    name = AUTOMATIC.get(task.source, "exact_match") if task.verifier == "auto" else task.verifier
    if name == "exact_match":
        return ExactMatchVerifier()
    kind = MathVerifier if name == "math" else ReasoningGymVerifier
    return kind(workers=verify.workers, timeout_seconds=verify.timeout_seconds)
