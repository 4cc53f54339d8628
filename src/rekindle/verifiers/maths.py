"""Mathematical equality: plain numbers are compared here, everything else by math-verify in a worker process.

math-verify parses LaTeX with sympy. An answer such as ``2^{2^{2^{...}}}`` makes it run without end, and its own time
limit works in a main thread only. Therefore it runs in a worker process, which can be killed.
"""

from collections.abc import Sequence
from functools import cache

from rekindle.tasks.extras import require_extra
from rekindle.types import Task
from rekindle.verifiers.plain_numbers import quick_equal
from rekindle.verifiers.verifier import Verdict
from rekindle.verifiers.workers import Job, WorkerPool

__all__ = ["MathVerifier", "math_equal"]

SHARED_TIMEOUT_SECONDS = 5.0


def math_equal(text: str, answer: str | Sequence[str]) -> bool:
    r"""Whether the final answer in ``text`` equals ``answer`` or one of several, e.g. ``\boxed{0.5}``, ``\frac12``.

    Answers other than plain numbers go to a worker process that is started once and kept. The result is False when the
    judgement fails or takes longer than 5 seconds.

    Raises:
        MissingExtraError: math-verify is needed and not installed.
        VerifierError: The worker process cannot be started.
    """
    answers = _several(answer)
    quick = quick_equal(text, answers)
    return _shared_pool().judge([_job(text, answers)])[0].score == 1.0 if quick is None else quick


class MathVerifier:
    """Verifier: ``math_equal`` for many completions at a time.

    Args:
        workers: Most judgements at the same time.
        timeout_seconds: Wall-clock limit of one judgement.

    Raises:
        MissingExtraError: math-verify is not installed.
    """

    def __init__(self, *, workers: int, timeout_seconds: float) -> None:
        _require()
        self._pool = WorkerPool("math", workers=workers, timeout_seconds=timeout_seconds)

    def judge(self, items: Sequence[tuple[Task, str]]) -> list[Verdict]:
        """See ``Verifier.judge``; a task without a reference answer gives the failure ``"error"``."""
        quick = [_quick_verdict(task, text) for task, text in items]
        jobs = [
            _job(text, _several(task.answer))
            for (task, text), verdict in zip(items, quick, strict=True)
            if verdict is None
        ]
        judged = iter(self._pool.judge(jobs))
        return [next(judged) if verdict is None else verdict for verdict in quick]

    def close(self) -> None:
        """See ``Verifier.close``."""
        self._pool.close()


def _quick_verdict(task: Task, text: str) -> Verdict | None:
    if not task.answer:
        return Verdict(0.0, "error")
    equal = quick_equal(text, _several(task.answer))
    return None if equal is None else Verdict(float(equal))


def _several(answer: str | Sequence[str]) -> list[str]:
    return [answer] if isinstance(answer, str) else list(answer)


def _job(text: str, answers: Sequence[str]) -> Job:
    return {"text": text, "answers": answers}


@cache
def _shared_pool() -> WorkerPool:
    _require()
    return WorkerPool("math", workers=1, timeout_seconds=SHARED_TIMEOUT_SECONDS)


def _require() -> None:
    require_extra("math_verify", "math", "judging mathematical answers")
