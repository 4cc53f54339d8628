"""Tasks of reasoning-gym, from a data set's name and parameters.

Entries are generated in a child process with fixed string hashes. Several generators depend on the order of sets or on
the global random state; in this process the same seed could give other prompts, and exact resume would fail.
"""

import json
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

from rekindle.notices import warn
from rekindle.tasks.child_process import child_environment, python_command
from rekindle.tasks.extras import require_extra
from rekindle.tasks.task_set import TaskError, TaskSet, normalized_prompt, prompt_id, split
from rekindle.types import Task

__all__ = ["load_reasoning_gym", "tasks_from_entries"]

OWN_PARAMS = {"size": "set task.pool_size instead"}


def load_reasoning_gym(
    name: str, params: Mapping[str, object], *, pool_size: int, eval_prompts: int, seed: int
) -> TaskSet:
    """Generate ``pool_size + eval_prompts`` entries, drop repeated prompts and split the rest by hash.

    Args:
        name: Data set, e.g. ``"countdown"``.
        params: Fields of its configuration, optionally with ``seed``, without ``size``.
        pool_size: Prompts in the pool; fewer, with a warning, where prompts repeat.
        eval_prompts: Prompts held out.
        seed: Used where ``params`` has no ``seed``, and for the split.

    A task's metadata let ``rekindle.verifiers`` score it in another process: ``dataset`` (name and complete
    parameters), ``index`` and ``entry`` (see ``tasks_from_entries``). Without reference answers a task's ``answer`` is
    empty.

    Raises:
        TaskError: The name or a parameter is unknown or refused, or there are too few distinct prompts.
        MissingExtraError: reasoning-gym is not installed.
    """
    require_extra("reasoning_gym", "tasks", 'task.source = "reasoning_gym"')
    for key in OWN_PARAMS.keys() & params.keys():
        raise TaskError(f"task.params {key} cannot be given; {OWN_PARAMS[key]}")
    dataset = {"name": name, "params": {"seed": seed, **params, "size": pool_size + eval_prompts}}
    tasks = _distinct(tasks_from_entries(dataset, _generate(dataset)))
    if len(tasks) < pool_size + eval_prompts:
        warn(
            f"reasoning_gym {name}: only {len(tasks)} of {pool_size + eval_prompts} prompts are distinct, "
            "so the pool is smaller than task.pool_size",
            stacklevel=2,
        )
    return split(tasks, eval_prompts, pool_size, seed, f"reasoning_gym {name}")


def tasks_from_entries(dataset: Mapping[str, object], entries: Sequence[Mapping[str, Any]]) -> list[Task]:
    """Turn the entries of ``reasoning_gym_main`` into tasks.

    Args:
        dataset: ``name`` and ``params``.
        entries: Each with ``index``, ``question``, ``answer`` (text or None) and ``entry``: the whole entry as a Python
            literal, or None where no literal can hold it; the scorer then generates it again from the index.
    """
    return [
        Task(
            f"{dataset['name']}/{prompt_id(entry['question'])}",
            entry["question"],
            () if entry["answer"] is None else entry["answer"],
            {"dataset": dataset, "index": entry["index"], "entry": entry["entry"]},
        )
        for entry in entries
    ]


def _distinct(tasks: Sequence[Task]) -> list[Task]:
    first: dict[str, Task] = {}
    for task in tasks:
        first.setdefault(normalized_prompt(task.prompt), task)
    return list(first.values())


def _generate(dataset: Mapping[str, object]) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="rekindle-tasks-") as home:
        done = subprocess.run(  # noqa: S603  (our own module, no shell)
            python_command("rekindle.tasks.reasoning_gym_main"),
            input=json.dumps(dataset, default=str),
            capture_output=True,
            text=True,
            encoding="utf-8",
            cwd=home,
            env=child_environment(home),
            start_new_session=True,
            check=False,
        )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise TaskError(f"reasoning_gym {dataset['name']} could not be generated: {last}; check task.params")
    result = json.loads(done.stdout)
    if "error" in result:
        raise TaskError(result["error"])
    entries: list[dict[str, Any]] = result["entries"]
    return entries
