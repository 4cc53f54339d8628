"""Builds the verifier of a configuration, and turns scores into rewards."""

from rekindle.config.facts import verifier_name
from rekindle.config.tables.task import JudgeTable, TaskTable, VerifyTable
from rekindle.verifiers.exact import ExactMatchVerifier
from rekindle.verifiers.judge import build_judge
from rekindle.verifiers.last_number import LastNumberVerifier
from rekindle.verifiers.maths import MathVerifier
from rekindle.verifiers.qa import QaVerifier
from rekindle.verifiers.reasoning_gym import ReasoningGymVerifier
from rekindle.verifiers.verifier import Verifier

__all__ = ["build_verifier", "named_verifier", "reward"]

TOLERANCE = 1e-9
"""Tolerance: a score summed from parts, such as ten times 0.1, must not fall below 1 by rounding."""

NO_JUDGE = JudgeTable()


def reward(score: float, binary: bool, threshold: float) -> float:
    """The score itself; with ``binary``, 1.0 where it reaches ``threshold`` and 0.0 elsewhere."""
    return float(score >= threshold - TOLERANCE) if binary else score


def build_verifier(task: TaskTable, verify: VerifyTable, judge: JudgeTable = NO_JUDGE) -> Verifier:
    """Build the verifier of a configuration. Worker processes and judge calls start with the first verdict.

    ``auto`` is ``math`` for gsm8k, reasoning-gym's own scorer for reasoning_gym, ``qa_exact_match`` for search_world
    and self_play, and exact match otherwise. For files of numbers ``preflight.settled`` has replaced it by ``math``.

    Raises:
        MissingExtraError: A package that the verifier needs is not installed.
        VerifierError: The judge's table is not complete, or its cache cannot be used.
        EndpointError: The judge's address or key cannot be used.
    """
    return named_verifier(verifier_name(task), verify, judge)


def named_verifier(name: str, verify: VerifyTable, judge: JudgeTable = NO_JUDGE) -> Verifier:
    """Build a verifier by its name, for ``task.verifier`` or an audit; see ``build_verifier``."""
    match name:
        case "exact_match":
            return ExactMatchVerifier()
        case "last_number":
            return LastNumberVerifier()
        case "qa_exact_match" | "cover_match" | "f1":
            return QaVerifier(name)
        case "judge":
            return build_judge(judge)
        case "math":
            return MathVerifier(workers=verify.workers, timeout_seconds=verify.timeout_seconds, powers=verify.powers)
    return ReasoningGymVerifier(
        workers=verify.workers, timeout_seconds=verify.timeout_seconds, unconfined=verify.unconfined
    )
