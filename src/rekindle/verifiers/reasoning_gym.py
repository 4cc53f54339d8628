"""reasoning-gym's own scorers. They run in worker processes, because several evaluate the completion as code."""

from collections.abc import Sequence

from rekindle.tasks.extras import require_extra
from rekindle.types import Task
from rekindle.verifiers.completions import final_answer
from rekindle.verifiers.verifier import Verdict
from rekindle.verifiers.workers import WorkerPool

__all__ = ["ReasoningGymVerifier"]


class ReasoningGymVerifier:
    """Verifier: the scorer of a task's data set, in [0, 1]; most scorers give partial credit to wrong answers.

    The completion's last ``<answer>...</answer>`` is scored, or all of it. Where a scorer evaluates the completion as
    code, a model can learn to give itself any score; it cannot change the verdict of another completion.

    Args:
        workers: Most judgements at the same time.
        timeout_seconds: Wall-clock limit of one judgement.

    Raises:
        MissingExtraError: reasoning-gym is not installed.
    """

    def __init__(self, *, workers: int, timeout_seconds: float) -> None:
        require_extra("reasoning_gym", "tasks", "judging reasoning_gym answers")
        self._pool = WorkerPool("reasoning_gym", workers=workers, timeout_seconds=timeout_seconds)

    def judge(self, items: Sequence[tuple[Task, str]]) -> list[Verdict]:
        """See ``Verifier.judge``; the tasks are those of ``rekindle.tasks.reasoning_gym``."""
        fields = ("dataset", "index", "entry")
        return self._pool.judge(
            [{"text": final_answer(text)} | {name: task.metadata[name] for name in fields} for task, text in items]
        )

    def close(self) -> None:
        """See ``Verifier.close``."""
        self._pool.close()
