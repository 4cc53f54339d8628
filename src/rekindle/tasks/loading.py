"""Loads the tasks of a run from the ``[task]`` table of a configuration."""

from pathlib import Path

from rekindle.config import TaskTable
from rekindle.tasks.answer_lists import read_answers
from rekindle.tasks.files import load_files
from rekindle.tasks.qa_sets import read_questions
from rekindle.tasks.reasoning_gym import load_reasoning_gym
from rekindle.tasks.search_world import load_search_world, load_self_play
from rekindle.tasks.spell_backward import load_spell_backward
from rekindle.tasks.task_set import TaskError, TaskSet

__all__ = ["TaskError", "TaskSet", "load_tasks"]

GENERATED_POOL_SIZE = 4096
USED_KEYS = {
    "spell_backward": {"params"},
    "search_world": {"params"},
    "reasoning_gym": {"name", "params"},
    "jsonl": {"path", "eval_path"},
    "parquet": {"path", "eval_path"},
    "gsm8k": {"path", "eval_path"},
}


def load_tasks(task: TaskTable, *, eval_prompts: int, seed: int) -> TaskSet:
    """Read or generate the pool and the held-out prompts.

    The result depends on the arguments and the files alone. The same call gives the same tasks, ids and order in every
    process; exact resume relies on this.

    Args:
        task: The ``[task]`` table.
        eval_prompts: Prompts to hold out.
        seed: Chooses the held-out prompts; also the generator's seed where ``task.params`` has none.

    Raises:
        TaskError: The source cannot be read or generated, or a key is set that this source does not use.
        MissingExtraError: A package of the source is not installed.
    """
    _refuse_unused(task)
    match task.source:
        case "spell_backward":
            return load_spell_backward(
                task.params, pool_size=task.pool_size or GENERATED_POOL_SIZE, eval_prompts=eval_prompts, seed=seed
            )
        case "search_world":
            return load_search_world(
                task.params, pool_size=task.pool_size or GENERATED_POOL_SIZE, eval_prompts=eval_prompts, seed=seed
            )
        case "self_play":
            return _load_self_play(task, eval_prompts=eval_prompts, seed=seed)
        case "reasoning_gym":
            assert task.name is not None, "the configuration checks that reasoning_gym has a name"
            return load_reasoning_gym(
                task.name,
                task.params,
                pool_size=task.pool_size or GENERATED_POOL_SIZE,
                eval_prompts=eval_prompts,
                seed=seed,
            )
        case _:
            return load_files(task, eval_prompts=eval_prompts, seed=seed)


def _load_self_play(task: TaskTable, *, eval_prompts: int, seed: int) -> TaskSet:
    """Load self-play: the pool holds answers to propose questions for; the held-out prompts are questions."""
    if task.path is None:
        whole = load_self_play(task.params, eval_prompts=eval_prompts, seed=seed)
        return TaskSet(whole.pool[: task.pool_size], whole.held_out)
    assert task.eval_path is not None, "the configuration checks that there is something to evaluate on"
    questions = read_questions(Path(task.eval_path))
    return TaskSet(read_answers(Path(task.path))[: task.pool_size], tuple(questions[:eval_prompts]))


def _refuse_unused(task: TaskTable) -> None:
    given = {key for key in ("name", "path", "eval_path", "params") if getattr(task, key)}
    for key in sorted(given - _used_keys(task)):
        beside = "" if task.source != "self_play" else " without task.path" if task.path is None else " with task.path"
        raise TaskError(
            f'task.{key} is not used by task.source = "{task.source}"{beside}; remove it or change the source'
        )


def _used_keys(task: TaskTable) -> set[str]:
    if task.source == "self_play":
        return {"params"} if task.path is None else {"path", "eval_path"}
    return USED_KEYS[task.source]
