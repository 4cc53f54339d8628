"""Dataset of verl over our task sources, so that embedded worlds, generators and files of ours need no Parquet file.

``+rekindle.task.source=search_world`` is all that a command needs: ``settings.environments`` sets ``data.custom_cls``
to this class, and the files to its parts.
"""

from typing import Any

import torch
from torch.utils.data import Dataset

from rekindle.config import ConfigError
from rekindle.config.facts import needs_answers
from rekindle.integrations.verl.rows import row_of
from rekindle.integrations.verl.settings import settle
from rekindle.integrations.verl.settings.environments import agent_loop_of
from rekindle.tasks.loading import load_tasks
from rekindle.types import Task

__all__ = ["PARTS", "TaskDataset"]

PARTS = ("pool", "held_out")
"""What ``data.train_files`` and ``data.val_files`` may name."""


class TaskDataset(Dataset[dict[str, Any]]):
    """The pool or the held-out prompts of ``rekindle.task``, as rows of verl.

    Attributes:
        tasks: The tasks, in order.

    Args:
        data_files: "pool" or "held_out", as text or as the only entry of a list.
        tokenizer: Not used: agent loops render prompts.
        config: verl's table ``data``, inside the whole configuration.
        processor: Not used.
        max_samples: Most tasks; -1: all.

    Raises:
        ConfigError: There is no such part, or ``rekindle.task`` is not valid.
        TaskError: The source cannot be read or made.
    """

    def __init__(
        self, data_files: Any, tokenizer: Any, config: Any, processor: Any = None, max_samples: int = -1
    ) -> None:
        part = _part(data_files)
        settings = settle(config._get_root())
        self._agent_name = agent_loop_of(settings)
        found = load_tasks(
            settings.task, eval_prompts=settings.eval.prompts, seed=0, needs_answers=needs_answers(settings)
        )
        tasks: tuple[Task, ...] = getattr(found, part)
        self.tasks = tasks if max_samples < 0 else tasks[:max_samples]

    def __len__(self) -> int:
        return len(self.tasks)

    def __getitem__(self, item: int) -> dict[str, Any]:
        row = row_of(self.tasks[item], self._agent_name, item)
        return {**row, "dummy_tensor": torch.tensor([0], dtype=torch.uint8)}


def _part(data_files: Any) -> str:
    names = [data_files] if isinstance(data_files, str) else list(data_files)
    if len(names) != 1 or names[0] not in PARTS:
        raise ConfigError(
            f"data.train_files and data.val_files are {' or '.join(PARTS)} where the tasks are those of rekindle.task, "
            f"not {names}; correct them"
        )
    return str(names[0])
