r"""Mathematical equality: literal numbers are compared here, symbolic answers by math-verify in a worker process.

``results`` has the rule. math-verify parses LaTeX with sympy. An answer such as ``2^{2^{2^{...}}}`` makes it run
without end, and its own time limit works in a main thread only. So it runs in a worker process, which can be killed.
"""

import json
from collections.abc import Sequence
from functools import cache

from rekindle.tasks.extras import require_extra
from rekindle.types import Task
from rekindle.verifiers.completions import final_answer
from rekindle.verifiers.results import Claim, compare
from rekindle.verifiers.verifier import Verdict
from rekindle.verifiers.workers import Job, WorkerPool

__all__ = ["MathVerifier", "math_equal"]

SHARED_TIMEOUT_SECONDS = 5.0


def math_equal(text: str, answer: str | Sequence[str], *, prompt: str = "", powers: bool = False) -> bool:
    r"""Whether the final answer in ``text`` equals ``answer`` or one of several, e.g. ``\boxed{0.5}``, ``\frac12``.

    Symbolic answers go to a worker process that is started once and kept. The result is False when the judgement fails
    or takes longer than 5 seconds.

    Args:
        text: A completion.
        answer: The reference answer, or several accepted ones.
        prompt: What was asked; an expression that stands in it is no answer.
        powers: Whether a power of whole numbers counts as a number, such as ``2^10`` for 1024.

    Raises:
        MissingExtraError: math-verify is needed and not installed.
        VerifierError: The worker process cannot be started.
    """
    decided = _decided(Task("", prompt, answer if isinstance(answer, str) else tuple(answer)), text, powers)
    return decided.score == 1.0 if isinstance(decided, Verdict) else _shared_pool().judge([decided])[0].score == 1.0


class MathVerifier:
    """Verifier: ``math_equal`` for many completions at a time.

    Args:
        workers: Most judgements at the same time.
        timeout_seconds: Wall-clock limit of one judgement.
        powers: See ``math_equal``.

    Raises:
        MissingExtraError: math-verify is not installed.
    """

    def __init__(self, *, workers: int, timeout_seconds: float, powers: bool = False) -> None:
        _require()
        self._pool = WorkerPool("math", workers=workers, timeout_seconds=timeout_seconds)
        self._powers = powers

    def judge(self, items: Sequence[tuple[Task, str]]) -> list[Verdict]:
        """See ``Verifier.judge``; a task without a reference answer gives the failure ``"error"``."""
        decided = [_decided(task, text, self._powers) for task, text in items]
        jobs = {_key(job): job for job in decided if not isinstance(job, Verdict)}
        judged = dict(zip(jobs, self._pool.judge(list(jobs.values())), strict=True))
        return [one if isinstance(one, Verdict) else judged[_key(one)] for one in decided]

    def close(self) -> None:
        """See ``Verifier.close``."""
        self._pool.close()


def _decided(task: Task, text: str, powers: bool) -> Verdict | Job:
    """The verdict, or the job of a worker where only algebra can tell."""
    references = [answer for answer in _several(task.answer) if answer.strip()]
    if not references:
        return Verdict(0.0, "error")
    said = final_answer(text)
    results = [compare(said, reference, task.conversation, powers=powers) for reference in references]
    claims = [result for result in results if isinstance(result, Claim)]
    if True in results or not claims:
        return Verdict(float(True in results))
    said, given = claims[0].said, claims[0].given
    return {"said": said, "references": [claim.reference for claim in claims], "given": given}


def _key(job: Job) -> str:
    """Equal for equal jobs, which are judged once: the answers of a group are often the same."""
    return json.dumps(job)


def _several(answer: str | Sequence[str]) -> list[str]:
    return [answer] if isinstance(answer, str) else list(answer)


@cache
def _shared_pool() -> WorkerPool:
    _require()
    return WorkerPool("math", workers=1, timeout_seconds=SHARED_TIMEOUT_SECONDS)


def _require() -> None:
    require_extra("math_verify", "math", "judging mathematical answers")
