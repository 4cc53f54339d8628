"""Loads the tasks of a run from the ``[task]`` table of a configuration."""

from pathlib import Path

from rekindle.config.facts import FILE_SOURCES
from rekindle.config.tables.task import TaskTable
from rekindle.notices import Say
from rekindle.tasks.answer_lists import read_answers
from rekindle.tasks.arithmetic import load_arithmetic
from rekindle.tasks.files import load_files, load_hub
from rekindle.tasks.qa_sets import read_questions
from rekindle.tasks.reasoning_gym import load_reasoning_gym
from rekindle.tasks.rows import SUFFIXES
from rekindle.tasks.search_world import load_search_world, load_self_play
from rekindle.tasks.spell_backward import load_spell_backward
from rekindle.tasks.task_set import TaskError, TaskSet

__all__ = ["TaskError", "TaskSet", "load_tasks", "source_of_file"]


GENERATED_POOL_SIZE = 4096
GENERATED_HELD_OUT = 256


def load_tasks(
    task: TaskTable,
    *,
    eval_prompts: int | None,
    seed: int,
    needs_answers: bool = True,
    commit: str | None = None,
    say: Say = print,
) -> TaskSet:
    """Read or generate the pool and the held-out prompts.

    The result depends on the arguments and the files alone. The same call gives the same tasks, ids and order in every
    process; exact resume relies on this.

    Args:
        task: The ``[task]`` table.
        eval_prompts: Prompts to hold out; None: as many as suit the source (see ``load_files``).
        seed: Chooses the held-out prompts; also the generator's seed where ``task.params`` has none.
        needs_answers: Refuse rows of files and of the hub that have no answer.
        commit: Commit of a data set on the hub that a run began with, which is used instead of ``task.revision``.
        say: Shows a line before a download.

    Raises:
        TaskError: The source cannot be read or made.
        MissingExtraError: The source needs a package that is not installed.
    """
    if task.source == "given":
        raise TaskError(
            'task.source = "given": a script handed the tasks to rekindle.train, and they are in no file; run that '
            'script, or write them to a file and set task.source = "jsonl"'
        )
    if task.source in FILE_SOURCES:
        return load_files(task, eval_prompts=eval_prompts, seed=seed, needs_answers=needs_answers)
    if task.source == "hub":
        return load_hub(task, eval_prompts=eval_prompts, seed=seed, needs_answers=needs_answers, commit=commit, say=say)
    return _generated(task, eval_prompts=eval_prompts or GENERATED_HELD_OUT, seed=seed)


def source_of_file(path: Path) -> str:
    """``task.source`` that reads a file, by its suffix.

    Raises:
        TaskError: The suffix is unknown.
    """
    kind = SUFFIXES.get(path.suffix.lower())
    if kind is None:
        raise TaskError(f"{path} has none of the suffixes {', '.join(SUFFIXES)}; rename the file, or set task.source")
    return "csv" if kind == "tsv" else kind


def _generated(task: TaskTable, *, eval_prompts: int, seed: int) -> TaskSet:
    match task.source:
        case "spell_backward":
            return load_spell_backward(
                task.params, pool_size=task.pool_size or GENERATED_POOL_SIZE, eval_prompts=eval_prompts, seed=seed
            )
        case "arithmetic":
            return load_arithmetic(
                task.params, pool_size=task.pool_size or GENERATED_POOL_SIZE, eval_prompts=eval_prompts, seed=seed
            )
        case "search_world":
            return load_search_world(
                task.params, pool_size=task.pool_size or GENERATED_POOL_SIZE, eval_prompts=eval_prompts, seed=seed
            )
        case "self_play":
            return _load_self_play(task, eval_prompts=eval_prompts, seed=seed)
        case _:
            assert task.name is not None, "the configuration checks that reasoning_gym has a name"
            return load_reasoning_gym(
                task.name,
                task.params,
                pool_size=task.pool_size or GENERATED_POOL_SIZE,
                eval_prompts=eval_prompts,
                seed=seed,
            )


def _load_self_play(task: TaskTable, *, eval_prompts: int, seed: int) -> TaskSet:
    """Load self-play: the pool holds answers to propose questions for; the held-out prompts are questions."""
    if task.path is None:
        whole = load_self_play(task.params, eval_prompts=eval_prompts, seed=seed)
        return TaskSet(whole.pool[: task.pool_size], whole.held_out)
    assert task.eval_path is not None, "the configuration checks that there is something to evaluate on"
    questions = read_questions(Path(task.eval_path))
    return TaskSet(read_answers(Path(task.path))[: task.pool_size], tuple(questions[:eval_prompts]))
