"""The journal of an evaluation: one line per finished question, with the texts and numbers of its rollouts.

    {"rekindle_evaluation": 1, "model": "9f...", "samples": 8, "set nq": "51...", ...}
    {"row": 0, "set": "nq", "id": "test_0", "void": false, "rollouts": [{"reward": 1.0, "text": "...", ...}, ...]}

A later line of a question replaces an earlier one. Only numbers stay in memory; texts are read again at the end.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rekindle.evaluation.journal import Journal, JournalKind, open_journal
from rekindle.evaluation.passes import chunks
from rekindle.evaluation.question_sets import EvaluationError, QuestionSet, named_tasks
from rekindle.evaluation.records import Record, entry_of
from rekindle.types import Rollout

__all__ = ["EvaluationJournal", "open_evaluation_journal"]

KIND = JournalKind(
    mark="rekindle_evaluation",
    format=1,
    noun="evaluation",
    doing="evaluating into",
    start_over="delete the file to start the evaluation over",
    error=EvaluationError,
)


@contextmanager
def open_evaluation_journal(
    path: Path, settings: dict[str, Any], sets: Sequence[QuestionSet], samples: int
) -> Iterator["EvaluationJournal"]:
    """Open or create a journal, for this process alone.

    Args:
        path: The journal file.
        settings: Everything the rollouts depend on, JSON-like; a journal with other settings is refused.
        sets: The questions; rows number them, set after set.
        samples: Rollouts per question.

    Raises:
        EvaluationError: See ``open_journal``.
    """
    entries = _EvaluationEntries(sets, samples)
    with open_journal(path, KIND, settings, entries.restore) as journal:
        yield EvaluationJournal(journal, entries)


class _EvaluationEntries:
    """Records of the lines, and the start of the latest line of every question."""

    def __init__(self, sets: Sequence[QuestionSet], samples: int) -> None:
        self.names = [(name, task.id) for name, task in named_tasks(sets)]
        self._samples = samples
        self.records: dict[int, Record] = {}
        self.starts: dict[int, int] = {}

    def restore(self, value: Any, start: int) -> None:
        row = range(len(self.names)).index(value["row"])
        record = Record.restored(value)
        if not record.void and len(record.answers) != self._samples:
            raise ValueError("some of its rollouts are missing")
        self.keep(row, record, start)

    def keep(self, row: int, record: Record, start: int) -> None:
        self.records[row], self.starts[row] = record, start


class EvaluationJournal:
    """The finished questions of an evaluation."""

    def __init__(self, journal: Journal, entries: _EvaluationEntries) -> None:
        self._journal, self._entries = journal, entries

    def pending(self, size: int) -> tuple[list[Sequence[int]], list[Sequence[int]]]:
        """Chunks of rows to play: those never played, then the void ones.

        The chunks of the first kind are always the same, and a partly finished one is played again completely. Other
        neighbours in a batch can change the last bits of a question's probabilities, so the neighbours stay the same.
        """
        known = self._entries.records
        fresh = [
            rows for rows in chunks(range(len(self._entries.names)), size) if any(row not in known for row in rows)
        ]
        replayed = {row for rows in fresh for row in rows}
        void = [row for row, record in sorted(known.items()) if record.void and row not in replayed]
        return fresh, chunks(void, size)

    def record(
        self, played: Iterable[tuple[int, list[Rollout] | None]], on_entry: Callable[[dict[str, Any]], None]
    ) -> int:
        """Write the results of one chunk as they arrive, and sync; return the number of questions played."""
        good = 0
        for row, rollouts in played:
            name, task_id = self._entries.names[row]
            entry = {"row": row, "set": name, "id": task_id, **entry_of(rollouts)}
            self._entries.keep(row, Record.restored(entry), self._journal.add(entry))
            on_entry(entry)
            good += not entry["void"]
        self._journal.sync()
        return good

    def records(self) -> list[Record]:
        """The records of all questions, in order; call it when all are done."""
        return [self._entries.records[row] for row in range(len(self._entries.names))]

    def entries(self) -> Iterator[dict[str, Any]]:
        """The lines of the finished questions, in order."""
        return (self._journal.line_at(self._entries.starts[row]) for row in sorted(self._entries.starts))
