"""The division of tasks into the pool and the held-out prompts."""

from dataclasses import dataclass, replace

from rekindle.notices import warn
from rekindle.tasks.task_set import TaskError, TaskSet, conversation_id, hash_rank, prompt_key, split, task_id
from rekindle.types import Task

__all__ = ["Named", "divided"]

MOST_HELD_OUT = 256


@dataclass(frozen=True, slots=True)
class Named:
    """Distinct tasks, with the name of their source for messages."""

    name: str
    tasks: list[Task]


def divided(
    tasks: Named, held_out: Named | None, *, pool_size: int | None, eval_prompts: int | None, seed: int
) -> TaskSet:
    """Pool and held-out prompts of distinct tasks; see ``load_files``.

    Args:
        tasks: All tasks, or those that are not held out.
        held_out: Tasks to hold out; None: some of ``tasks`` are split off.
        pool_size: Most prompts in the pool; None: all.
        eval_prompts: Prompts to hold out; None: as many as suit.
        seed: Chooses them.

    Raises:
        TaskError: Nothing would be left for the pool.
    """
    if held_out is None:
        count = eval_prompts or _tenth(len(tasks.tasks), pool_size)
        found = split(tasks.tasks, count, pool_size, seed, tasks.name)
    else:
        pool = _without(tasks, held_out)
        apart = _apart(held_out.tasks, pool)
        found = TaskSet(_sample(pool, pool_size, seed), _sample(apart, eval_prompts or MOST_HELD_OUT, seed))
        _warn_if_fewer(held_out.name, len(found.held_out), eval_prompts, "eval.prompts")
    _warn_if_fewer(tasks.name, len(found.pool), pool_size, "task.pool_size")
    return found


def _tenth(tasks: int, pool_size: int | None) -> int:
    """Prompts to hold out of the tasks of a file."""
    return max(1, min(MOST_HELD_OUT, min(tasks, pool_size or tasks) // 10))


def _without(tasks: Named, held_out: Named) -> list[Task]:
    prompts = set(map(prompt_key, held_out.tasks))
    kept = [task for task in tasks.tasks if prompt_key(task) not in prompts]
    if not kept:
        raise TaskError(f"every prompt of {tasks.name} is also in {held_out.name}; give different files")
    if left := len(tasks.tasks) - len(kept):
        warn(f"{tasks.name}: {left} prompts are also in {held_out.name} and left the pool", stacklevel=3)
    return kept


def _apart(held_out: list[Task], pool: list[Task]) -> list[Task]:
    """The held-out tasks; where the pool has the same id, a task's id becomes the hash of its prompt."""
    taken = {task.id for task in pool}

    def own_id(task: Task) -> str:
        return next(one for one in (task.id, task_id(task), conversation_id(task)) if one not in taken)

    return [task if task.id not in taken else replace(task, id=own_id(task)) for task in held_out]


def _sample(tasks: list[Task], count: int | None, seed: int) -> tuple[Task, ...]:
    """``count`` tasks chosen by seeded hash, or all for None; in file order."""
    return tuple(tasks[index] for index in sorted(hash_rank(tasks, seed)[:count]))


def _warn_if_fewer(path: str, found: int, wanted: int | None, key: str) -> None:
    if wanted is not None and found < wanted:
        warn(f"{path}: {key} = {wanted}, but only {found} distinct prompts are there to use", stacklevel=3)
