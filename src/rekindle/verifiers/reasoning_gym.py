"""reasoning-gym's own scorers. They run in confined worker processes, because several evaluate the answer as code."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, cast

from rekindle.tasks.extras import require_extra
from rekindle.types import Task
from rekindle.verifiers import confinement
from rekindle.verifiers.completions import final_answer
from rekindle.verifiers.guards import evaluated
from rekindle.verifiers.verifier import Verdict, VerifierError
from rekindle.verifiers.workers import WorkerPool

__all__ = ["ReasoningGymVerifier", "check_confinement"]


def check_confinement(data_sets: Collection[str]) -> None:
    """Check that this system can confine the scorers of these data sets, which evaluate answers.

    Raises:
        VerifierError: It cannot.
    """
    if data_sets and (lack := confinement.missing()):
        raise VerifierError(
            f"the scorer of reasoning_gym {', '.join(data_sets)} evaluates answers as Python code, and {lack}, so an "
            "answer that its guard does not stop could do what you can; train on Linux 5.13 or newer, or accept that "
            "with verify.unconfined = true"
        )


class ReasoningGymVerifier:
    """Verifier: the scorer of a task's data set, in [0, 1]; most scorers give partial credit to wrong answers.

    The completion's last ``<answer>...</answer>`` is scored, or all of it. Where a scorer evaluates the answer as code,
    it gets only what can be an answer (``guards``); any other text has the score of an empty one.

    Args:
        workers: Most judgements at the same time.
        timeout_seconds: Wall-clock limit of one judgement.
        unconfined: Whether scorers that evaluate answers may run where the system cannot confine them.

    Raises:
        MissingExtraError: reasoning-gym is not installed.
    """

    def __init__(self, *, workers: int, timeout_seconds: float, unconfined: bool = False) -> None:
        require_extra("reasoning_gym", "tasks", "judging reasoning_gym answers")
        self._pool = WorkerPool("reasoning_gym", workers=workers, timeout_seconds=timeout_seconds)
        self._unconfined = unconfined

    def judge(self, items: Sequence[tuple[Task, str]]) -> list[Verdict]:
        """See ``Verifier.judge``; the tasks are those of ``rekindle.tasks.reasoning_gym``.

        Raises:
            VerifierError: The system cannot confine the scorers of these tasks.
        """
        if not self._unconfined:
            used: dict[str, dict[str, Any]] = {one["name"]: one for one in (_data_set(task) for task, _ in items)}
            check_confinement([name for one in used.values() for name in evaluated(one["name"], one["params"])])
        fields = ("dataset", "index", "entry")
        return self._pool.judge(
            [{"text": final_answer(text)} | {name: task.metadata[name] for name in fields} for task, text in items]
        )

    def close(self) -> None:
        """See ``Verifier.close``."""
        self._pool.close()


def _data_set(task: Task) -> dict[str, Any]:
    """Name and parameters of a task's data set."""
    found: dict[str, Any] = dict(cast("Mapping[str, Any]", task.metadata["dataset"]))
    return found
