"""Tables of results: as text and Markdown in percentage points with one decimal, and as JSON in full precision."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rekindle.evaluation.measures import Measures
from rekindle.evaluation.set_pass import Results

__all__ = ["json_table", "markdown_table", "text_table"]

OVER_SETS, OVER_QUESTIONS = "average over sets", "all questions"
UNKNOWN = "-"


def text_table(results: Results, ks: Sequence[int]) -> str:
    """One line per set, with its levels below; averages where there are several sets."""
    rows = _cells(results, ks, "+-")
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = (
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines) + "\n"


def markdown_table(results: Results, ks: Sequence[int]) -> str:
    """The same table in Markdown, with the settings above it and the meaning of the errors below."""
    header, *rows = _cells(results, ks, "±")
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    body = "".join(f"| {' | '.join(map(_escaped, line))} |\n" for line in lines)
    return (
        f"{_played(results)}\n\n{body}\nPercentage points. ± is the standard error over questions; after "
        '"runs" it is the standard error over runs, where run i is the i-th rollout of every question.\n'
    )


def _escaped(cell: str) -> str:
    return cell.replace("|", r"\|")


def _played(results: Results) -> str:
    chosen = {name: results.settings[name] for name in ("temperature", "top_p", "min_p", "max_new_tokens", "seed")}
    settings = ", ".join(f"{name} {value:g}" for name, value in chosen.items())
    return f"{results.samples} rollouts per question; {settings}; model {results.settings['model']}."


def _cells(results: Results, ks: Sequence[int], sign: str) -> list[list[str]]:
    header = ["set", "questions", *(f"pass@{k}" for k in ks), "runs", "turns", "searches", "tokens", "truncated"]
    return [
        [*header, "void", "failures"],
        *([name, *_row(measures, ks, sign)] for name, measures in _lines(results, ks)),
    ]


def _lines(results: Results, ks: Sequence[int]) -> Iterator[tuple[str, Measures]]:
    levels = results.by_level(ks)
    for name, measures in results.by_set(ks).items():
        yield name, measures
        for level, of_level in levels.get(name, {}).items():
            yield f"{name}: {level}", of_level
    if len(results.sets) > 1:
        yield OVER_SETS, results.over_sets(ks)
        yield OVER_QUESTIONS, results.over_questions(ks)


def _row(measures: Measures, ks: Sequence[int], sign: str) -> list[str]:
    return [
        str(measures.questions),
        *(f"{_points(measures.pass_at[k])} {sign} {_points(measures.standard_error[k])}" for k in ks),
        f"{sign} {_points(measures.run_error)}",
        *(_number(value) for value in (measures.turns, measures.searches, measures.tokens)),
        _points(measures.truncated),
        str(measures.void),
        str(sum(measures.failures.values())),
    ]


def _points(share: float | None) -> str:
    return UNKNOWN if share is None else f"{100 * share:.1f}"


def _number(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.1f}"


def json_table(results: Results, ks: Sequence[int]) -> str:
    """JSON in full precision: the measures over all questions, of every set and level, and every answer."""
    overall = results.over_questions(ks)
    levels = results.by_level(ks)
    sets: dict[str, Any] = {
        name: {
            **_measures(measures),
            "levels": {level: _measures(part) for level, part in levels.get(name, {}).items()},
        }
        for name, measures in results.by_set(ks).items()
    }
    value = {
        "settings": results.settings,
        **_measures(overall),
        "average_over_sets": _measures(results.over_sets(ks)),
        "sets": sets,
        "prompts": list(_prompts(results)),
    }
    return json.dumps(value, ensure_ascii=False, indent=1) + "\n"


def _measures(measures: Measures) -> Mapping[str, object]:
    return {name: _with_text_keys(value) for name, value in asdict(measures).items()}


def _with_text_keys(value: object) -> object:
    return {str(key): one for key, one in value.items()} if isinstance(value, dict) else value


def _prompts(results: Results) -> Iterator[dict[str, object]]:
    rows = zip(results.records, results.texts, strict=True)
    for one in results.sets:
        for task in one.tasks:
            record, texts = next(rows)
            yield {
                "set": one.name,
                "id": task.id,
                "correct": results.correct(record),
                "rewards": [answer.reward for answer in record.answers],
                "void": record.void,
                "answers": texts,
            }
