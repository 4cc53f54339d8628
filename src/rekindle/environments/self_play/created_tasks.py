"""Tasks created from accepted questions; the solver plays them like other tasks."""

from collections.abc import Mapping
from typing import Any

from rekindle.environments.self_play.proposals import Proposal
from rekindle.tasks.json_tasks import task_from_json, task_to_json
from rekindle.tasks.task_set import prompt_id
from rekindle.types import Task

__all__ = ["CreatedTasks"]


class CreatedTasks:
    """The created tasks, one for every accepted question; a task's index is its row in the pool's history.

    Attributes:
        tasks: In the order of their acceptance.
        levels: Number of the proposer's searches for each task, as a measure of its hops.
    """

    def __init__(self) -> None:
        self.tasks: list[Task] = []
        self.levels: list[int] = []

    def create(self, proposal: Proposal, step: int) -> Task:
        """Create the task of an accepted question."""
        assert proposal.question is not None, "a task is created from an accepted question"
        origin = {"seed": proposal.seed.id, "hops": proposal.hops, "step": step}
        metadata = {"corpus": proposal.seed.metadata.get("corpus", ""), "level": proposal.searches, **origin}
        task = Task(f"self_play/{prompt_id(proposal.question)}", proposal.question, proposal.seed.answer, metadata)
        self._add(task)
        return task

    def state_dict(self) -> list[dict[str, Any]]:
        """Every task as JSON values."""
        return [task_to_json(task) for task in self.tasks]

    def load_state_dict(self, state: list[Mapping[str, Any]]) -> None:
        """Restore in place, because the lists are shared."""
        self.tasks.clear()
        self.levels.clear()
        for one in state:
            self._add(task_from_json(one))

    def _add(self, task: Task) -> None:
        self.tasks.append(task)
        self.levels.append(int(str(task.metadata["level"])))
