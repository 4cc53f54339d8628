"""What an evaluation has finished, on disk: a journal with a line per question and everything its rollouts said.

    {"rekindle_evaluation": 1, "model": "9f...", "samples": 8, "set nq": "51...", ...}
    {"row": 0, "set": "nq", "id": "test_0", "void": false, "rollouts": [{"reward": 1.0, "text": "...", ...}, ...]}

A later line about a question replaces an earlier one. Only numbers stay in memory; texts are read again at the end.
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
    anew="delete the file to evaluate anew",
    error=EvaluationError,
)


@contextmanager
def open_evaluation_journal(
    path: Path, settings: dict[str, Any], sets: Sequence[QuestionSet], samples: int
) -> Iterator["EvaluationJournal"]:
    """Open or make a journal, for this process alone.

    Args:
        path: Of the file.
        settings: What the rollouts depend on, JSON-like; a journal of other settings is refused.
        sets: A row is a question, set after set.
        samples: Rollouts per question.

    Raises:
        EvaluationError: See ``open_journal``.
    """
    entries = _Entries(sets, samples)
    with open_journal(path, KIND, settings, entries.restore) as journal:
        yield EvaluationJournal(journal, entries)


class _Entries:
    """What the lines say, and where the latest about every question begins."""

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
    """Questions that are done."""

    def __init__(self, journal: Journal, entries: _Entries) -> None:
        self._journal, self._entries = journal, entries

    def pending(self, size: int) -> tuple[list[Sequence[int]], list[Sequence[int]]]:
        """Chunks of rows to play: those never played, and then the void ones.

        The first are always the same pieces of the whole, and one that is done in part is played again whole: a
        question's neighbours in a batch may change the last bits of its probabilities, and so they stay the same.
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
        """Enter one chunk as it comes, make it durable, and return how many of its questions could be played."""
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
        """Every question's, in order; call it when all are done."""
        return [self._entries.records[row] for row in range(len(self._entries.names))]

    def entries(self) -> Iterator[dict[str, Any]]:
        """The lines about the questions that are done, in their order."""
        return (self._journal.line_at(self._entries.starts[row]) for row in sorted(self._entries.starts))
