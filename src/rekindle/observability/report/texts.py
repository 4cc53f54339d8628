"""Prompts by their text: what the report shows of a task instead of its id."""

from collections.abc import Iterable, Mapping
from typing import Any

from rekindle.observability.formatting import excerpt
from rekindle.observability.page import Cell
from rekindle.observability.prompt_texts import PromptText, prompt_texts, sampled_texts
from rekindle.observability.summary import Summary

__all__ = ["Texts"]

_QUESTION = 160
"""Most characters of a prompt in a table."""
_ID = 60


class Texts:
    """Texts and levels of tasks, from the run's tasks, which are read once, from its proposals, and from its samples.

    Args:
        summary: The run.
        ids: Ids of the tasks.
        samples: Samples, which have the texts of their tasks where a version of the run kept none; their tasks count.
    """

    def __init__(self, summary: Summary, ids: Iterable[str], samples: Iterable[Mapping[str, Any]] = ()) -> None:
        sampled, questions = sampled_texts(samples), summary.proposals.questions
        wanted = {*ids, *sampled}
        proposed = {name: PromptText(questions[name]) for name in wanted & questions.keys()}
        self._known = sampled | proposed | prompt_texts(summary.run, wanted)

    def level(self, task_id: str) -> str:
        """The level of a task; "" where it has none."""
        known = self._known.get(task_id)
        return excerpt(known.level, _ID) if known else ""

    def cell(self, task_id: str) -> Cell:
        """A task in a table: its text, and small below it its id; the id alone where the text is not known."""
        known = self._known.get(task_id)
        if known is None or not known.text.strip() or known.text == task_id:
            return excerpt(task_id, _QUESTION)
        return excerpt(known.text.strip().replace("\n", " "), _QUESTION), excerpt(task_id, _ID)

    def words(self, task_id: str) -> str:
        """A task in a line of text."""
        cell = self.cell(task_id)
        return cell if isinstance(cell, str) else cell[0]
