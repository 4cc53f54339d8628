"""A resumable evaluation over sets of questions.

A question's rollouts depend only on the seed, the set's name and the question's id. An evaluation that is killed and
resumed from its journal therefore ends with the same results as an uninterrupted one, bit for bit.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from rekindle.evaluation.eval_journal import EvaluationJournal, open_evaluation_journal
from rekindle.evaluation.measures import Measures, average, measure, solved
from rekindle.evaluation.passes import OnProgress, PlayGroups, play_in_chunks
from rekindle.evaluation.question_sets import EvaluationError, QuestionSet, digests, named_tasks, request_for
from rekindle.evaluation.records import Record
from rekindle.evaluation.transcripts import transcripts_file, write_transcripts

__all__ = ["Results", "evaluate_sets"]


@dataclass(frozen=True, slots=True)
class Results:
    """Results of an evaluation.

    Attributes:
        settings: Everything the rollouts depend on, JSON-like.
        sets: The questions.
        records: [questions of all sets], set after set.
        texts: [questions of all sets][n] sampled texts.
        samples: n, rollouts per question.
        success_at: A reward of at least this much is a success.
    """

    settings: Mapping[str, Any]
    sets: tuple[QuestionSet, ...]
    records: tuple[Record, ...]
    texts: tuple[tuple[str, ...], ...]
    samples: int
    success_at: float

    def measure(self, records: Sequence[Record], ks: Iterable[int]) -> Measures:
        """Measures of some of the records."""
        return measure(records, samples=self.samples, ks=ks, success_at=self.success_at)

    def correct(self, record: Record) -> int:
        """Number of successful rollouts of a question."""
        return sum(solved(record, self.samples, self.success_at))

    def by_set(self, ks: Sequence[int]) -> dict[str, Measures]:
        """Measures of every set."""
        return {one.name: self.measure(records, ks) for one, records in self._parts()}

    def by_level(self, ks: Sequence[int]) -> dict[str, dict[str, Measures]]:
        """Measures of every level, for each set whose tasks have ``metadata["level"]``."""
        found = {}
        for one, records in self._parts():
            levels: dict[str, list[Record]] = {}
            for task, record in zip(one.tasks, records, strict=True):
                levels.setdefault(str(task.metadata.get("level", "")), []).append(record)
            if set(levels) != {""}:
                found[one.name] = {
                    level or "no level": self.measure(levels[level], ks) for level in sorted(levels, key=_natural)
                }
        return found

    def over_sets(self, ks: Sequence[int]) -> Measures:
        """The mean over sets (macro)."""
        return average(list(self.by_set(ks).values()))

    def over_questions(self, ks: Sequence[int]) -> Measures:
        """The mean over all questions (micro)."""
        return self.measure(self.records, ks)

    def _parts(self) -> Iterator[tuple[QuestionSet, list[Record]]]:
        records = iter(self.records)
        return ((one, list(islice(records, len(one.tasks)))) for one in self.sets)


def _natural(level: str) -> tuple[int, int, str]:
    """Sort key of levels: numbers in numeric order, then words; questions without a level last."""
    digits = level[: len(level) - len(level.lstrip("0123456789"))]
    return (2, 0, "") if not level else (0, int(digits), level) if digits else (1, 0, level)


def evaluate_sets(
    play: PlayGroups,
    sets: Sequence[QuestionSet],
    *,
    samples: int,
    temperature: float,
    seed: int,
    success_at: float,
    settings: Mapping[str, Any],
    journal: Path,
    transcripts: Sequence[Path] = (),
    chunk: int = 64,
    on_progress: OnProgress,
    interrupted: Callable[[], bool],
) -> Results | None:
    """Roll out every question ``samples`` times; resume the evaluation of ``journal`` if there is one.

    A resumed evaluation tries questions that could not be played before again, after all others. Questions that still
    cannot be played count as never solved.

    Args:
        play: ``play`` of an environment over the tasks of all sets, set after set; a request's row is the task's index.
        sets: Sets with different names and at least one question.
        samples: Rollouts per question, at least 1.
        temperature: Sampling temperature; 0 is greedy.
        seed: Seed of the rollouts.
        success_at: A reward of at least this much is a success.
        settings: Everything else the rollouts depend on, JSON-like: fingerprint of the policy, limits, the verifier.
        journal: Journal file, created or resumed; it is kept.
        transcripts: Files with a line per rollout, written as rollouts arrive; at the end sorted by question.
        chunk: Questions per chunk; a kill loses at most one chunk.
        on_progress: Called after every chunk.
        interrupted: Called before every chunk.

    Returns:
        The results, or None when interrupted.

    Raises:
        EvaluationError: The journal belongs to another evaluation or is damaged, a file cannot be written, or no
            question can be played.
    """
    complete = {
        **settings,
        "samples": samples,
        "temperature": temperature,
        "seed": seed,
        "success_at": success_at,
        **{f"set {name}": digest for name, digest in digests(sets).items()},
    }
    rows = [
        request_for(row, name, task, samples=samples, temperature=temperature, seed=seed)
        for row, (name, task) in enumerate(named_tasks(sets))
    ]
    with ExitStack() as stack:
        entries = stack.enter_context(open_evaluation_journal(journal, complete, sets, samples))
        files = [stack.enter_context(transcripts_file(path, sets, entries.entries())) for path in transcripts]
        fresh, void = entries.pending(chunk)
        if not play_in_chunks(
            fresh,
            void,
            total=len(rows),
            play=lambda chosen: entries.record(play([rows[row] for row in chosen]), lambda entry: _tell(files, entry)),
            stuck=_stuck,
            on_progress=on_progress,
            interrupted=interrupted,
        ):
            return None
        for path in transcripts:
            write_transcripts(path, sets, entries.entries())
        return Results(complete, tuple(sets), tuple(entries.records()), _texts(entries), samples, success_at)


def _tell(files: Sequence[Callable[[dict[str, Any]], None]], entry: dict[str, Any]) -> None:
    for add in files:
        add(entry)


def _stuck(failed: int) -> EvaluationError:
    return EvaluationError(
        f"{failed} questions in a row could not be played; check the retriever or the judge, and look for questions "
        "that are too long; then start again (finished questions are kept in the directory of --out)"
    )


def _texts(entries: EvaluationJournal) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(one["text"] for one in entry["rollouts"]) for entry in entries.entries())
