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
    """Texts and levels of tasks, read where they are asked for: from the run's tasks, its proposals, and its samples.

    Args:
        summary: The run.
    """

    def __init__(self, summary: Summary) -> None:
        self._summary = summary
        self._known: dict[str, PromptText] = {}

    def learn(self, ids: Iterable[str], samples: Iterable[Mapping[str, Any]] = ()) -> None:
        """Read the texts of these tasks; samples have those of a run whose version kept no texts."""
        wanted = set(ids) - self._known.keys()
        found = sampled_texts(line for line in samples if str(line.get("task_id")) in wanted)
        questions = self._summary.proposals.questions
        found |= {name: PromptText(questions[name]) for name in wanted & questions.keys()}
        self._known |= found | prompt_texts(self._summary.run, wanted)

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
