"""reasoning-gym's own scorers, in worker processes: several of them evaluate the completion as code."""

from collections.abc import Sequence

from rekindle.tasks.extras import require_extra
from rekindle.types import Task
from rekindle.verifiers.exact import final_answer
from rekindle.verifiers.verifier import Verdict
from rekindle.verifiers.workers import WorkerPool

__all__ = ["ReasoningGymVerifier"]


class ReasoningGymVerifier:
    """Scores in [0, 1] of the data set a task came from; most give partial credit to wrong answers.

    The completion's last ``<answer>...</answer>`` is scored, or all of it. A model can learn to make a scorer that
    evaluates its completion write any score for it; it cannot change the verdict of another completion.

    Args:
        workers: Judgements at the same time.
        timeout_seconds: Wall-clock limit of one.

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
