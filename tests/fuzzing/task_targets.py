"""Targets: configurations, and files of tasks, questions, documents and pass rates."""

import csv
import dataclasses
import io
import json
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
from mutation import Inputs
from target import Attempt, target

from embedded import EXAMPLE
from rekindle.config import dump_toml
from rekindle.evaluation.profile_file import load_profile, save_profile
from rekindle.planning.pass_rates import PassRates
from rekindle.planning.sources import load_rates
from rekindle.recipes import RECIPES, resolve
from rekindle.retrieval.corpus import read_corpus
from rekindle.scheduling.profiling import Profile, ProfileKey
from rekindle.tasks.answer_lists import read_answers
from rekindle.tasks.files import read_tasks
from rekindle.tasks.qa_sets import read_questions

VALUES = (
    "-1", "0", "1", "2", "nan", "inf", "1e400", "[]", "{}", "''", "true", "10000000000000000000000", "x", "[[1]]",
    "'\\u0000'",
)  # fmt: skip
TASKS = (
    b'{"prompt": "2+2", "answer": "4"}\n{"id": 3, "prompt": "3", "answer": ["a", 1]}\n'
    b'{"question": "who?", "golden_answers": ["x"]}\n{"question": "q", "answer": "s\\n#### 42"}\n'
)
TABLE = b'id,prompt,answer\n1,"a, b",2\n2,"c ""d""",3\n'
QUESTIONS = {
    ".jsonl": b'{"id":"1","question":"who wrote it","golden_answers":["a","b"]}\n',
    ".json": b'{"Data": [{"Question": "q", "Answer": {"Value": "v", "Aliases": ["x"]}, "QuestionId": "t"}]}',
    ".tsv": b'id\tquestion\tpossible_answers\n1\tq\t["a", "b"]\n',
    ".csv": b'id,question,possible_answers\n1,q,"[""a""]"\n',
}
ANSWERS = b'{"answer": "Paris"}\nBerlin\n"Rome"\n["a", "b"]\n'
CORPUS = b'{"id": "0", "contents": "\\"Title\\"\\ntext"}\n{"id": "1", "title": "x", "text": "y"}\n'
RATES = {
    ".csv": b"successes,samples,count\n1,8,10\n8,8,5\n",
    ".jsonl": b'{"rate": 0.5, "count": 3}\n{"rate": 0.0, "count": 4}\n',
    ".tsv": b"rate\tcount\n0.25\t3\n",
}
COLUMNS: Mapping[str, Any] = {
    "prompt": ("x", pyarrow.string()), "answer": ("4", pyarrow.string()), "id": (2, pyarrow.int64()),
    "question": ("q", pyarrow.large_string()), "golden_answers": (["a"], pyarrow.list_(pyarrow.string())),
}  # fmt: skip
"""Columns that readers look for, with a value and its usual type."""
ODD: tuple[tuple[Any, Any], ...] = (
    (b"\xff", pyarrow.binary()), (1.5, pyarrow.float64()), (None, pyarrow.null()), (5, pyarrow.timestamp("ns")),
    (5_000_000_001, pyarrow.timestamp("ns", tz="UTC")), (-(2**50), pyarrow.timestamp("s")), (1, pyarrow.date32()),
    (2**40, pyarrow.date64()), (3, pyarrow.duration("ns")), (7, pyarrow.time64("ns")), (True, pyarrow.bool_()),
    ({"a": 1}, pyarrow.struct([("a", pyarrow.int8())])), (2**63, pyarrow.uint64()),
    ([("k", "v")], pyarrow.map_(pyarrow.string(), pyarrow.string())),
    ([[b"x"]], pyarrow.list_(pyarrow.list_(pyarrow.binary()))),
)  # fmt: skip
"""Values of other types."""


def written(place: Path, content: bytes) -> Path:
    place.write_bytes(content)
    return place


def odd_table(inputs: Inputs, place: Path) -> Path:
    """A Parquet file whose columns have the right names and perhaps other types."""
    count = inputs.randrange(3)
    chosen = inputs.sample(list(COLUMNS), inputs.randrange(1, 4)) + inputs.sample(["successes", "samples", "t"], 1)
    columns = {}
    for name in chosen:
        usual = COLUMNS.get(name, (1, pyarrow.int64()))
        value, kind = usual if inputs.random() < 0.5 else inputs.choice(ODD)
        columns[name] = pyarrow.array([value] * count, kind)
    pyarrow.parquet.write_table(pyarrow.table(columns), place)
    return place


@target()
def configurations(folder: Path) -> Attempt:
    examples = sorted(EXAMPLE.parent.glob("*.toml"))
    seeds = [path.read_bytes() for path in examples]
    seeds += [
        dump_toml(resolve(EXAMPLE.with_name("self_play.toml"))).encode(),
        dump_toml(resolve(EXAMPLE, "erpo")).encode(),
    ]
    tables = resolve(EXAMPLE).model_dump().items()
    keys = [f"{name}.{key}" for name, table in tables if isinstance(table, dict) for key in table]
    names = [*RECIPES, None, None, "", "x"]

    def attempt(inputs: Inputs) -> None:
        place = written(folder / "run.toml", inputs.mutated(inputs.choice(seeds)))
        overrides = [
            f"{inputs.choice(keys)}={inputs.choice((*VALUES, inputs.text(4)))}"
            for _ in range(inputs.choice((0, 0, 1, 3)))
        ]
        dump_toml(resolve(place, inputs.choice(names), overrides, inputs.choice((None, None, 0, -1, 2**70))))

    return attempt


@target()
def tasks(folder: Path) -> Attempt:
    def line(inputs: Inputs) -> bytes:
        given = {"prompt": inputs.value(), "answer": inputs.value(), **inputs.fields(2)}
        return inputs.json(given if inputs.random() < 0.7 else inputs.value())

    def attempt(inputs: Inputs) -> None:
        lines = b"\n".join(line(inputs) for _ in range(inputs.randrange(4)))
        content = inputs.mutated(TASKS) if inputs.random() < 0.5 else lines
        read_tasks(written(folder / "tasks.jsonl", content), inputs.choice(("jsonl", "gsm8k")))

    return attempt


@target()
def task_tables(folder: Path) -> Attempt:
    """CSV and TSV."""

    def table(inputs: Inputs) -> bytes:
        text = io.StringIO()
        rows = csv.writer(text)
        rows.writerow(["prompt", "answer", inputs.text(2)])
        rows.writerows([inputs.text(5) for _ in range(3)] for _ in range(inputs.randrange(4)))
        return text.getvalue().encode("utf-8", "surrogatepass")

    def attempt(inputs: Inputs) -> None:
        content = inputs.mutated(TABLE) if inputs.random() < 0.6 else table(inputs)
        read_tasks(written(folder / f"tasks.{inputs.choice(('csv', 'tsv'))}", content), "csv")

    return attempt


@target()
def questions(folder: Path) -> Attempt:
    def attempt(inputs: Inputs) -> None:
        suffix = inputs.choice(list(QUESTIONS))
        many = [inputs.value() for _ in range(inputs.randrange(4))] if suffix == ".json" else inputs.value()
        content = inputs.mutated(QUESTIONS[suffix]) if inputs.random() < 0.6 else inputs.json(many)
        with warnings.catch_warnings(action="ignore"):
            for task in read_questions(written(folder / f"questions{suffix}", content)):
                "".join((task.answer[0], task.conversation, task.id)).encode()

    return attempt


@target()
def answers(folder: Path) -> Attempt:
    def attempt(inputs: Inputs) -> None:
        lines = b"\n".join(inputs.json(inputs.value()) for _ in range(inputs.randrange(4)))
        read_answers(written(folder / "answers.jsonl", inputs.mutated(ANSWERS) if inputs.random() < 0.5 else lines))

    return attempt


@target()
def corpora(folder: Path) -> Attempt:
    def attempt(inputs: Inputs) -> None:
        list(read_corpus(written(folder / "corpus.jsonl", inputs.mutated(CORPUS))))

    return attempt


def _parquet(folder: Path, read: Callable[[Path], object]) -> Attempt:
    """Damaged Parquet files, and whole ones with columns of other types."""
    place = folder / "file.parquet"
    table = {"prompt": ["a", "b"], "answer": ["1", "2"], "question": ["c", "d"], "golden_answers": [["x"], ["y"]]}
    pyarrow.parquet.write_table(pyarrow.table(table | {"successes": [1, 2], "samples": [4, 4]}), place)
    good = place.read_bytes()

    def attempt(inputs: Inputs) -> None:
        if inputs.random() < 0.7:
            written(place, inputs.mutated(good))
        else:
            odd_table(inputs, place)
        with warnings.catch_warnings(action="ignore"):
            read(place)

    return attempt


@target()
def parquet_tasks(folder: Path) -> Attempt:
    return _parquet(folder, lambda path: read_tasks(path, "parquet"))


@target()
def parquet_questions(folder: Path) -> Attempt:
    return _parquet(folder, read_questions)


@target()
def parquet_rates(folder: Path) -> Attempt:
    return _parquet(folder, load_rates)


@target()
def pass_rates(folder: Path) -> Attempt:
    def attempt(inputs: Inputs) -> None:
        suffix = inputs.choice(list(RATES))
        lines = b"\n".join(inputs.json(inputs.fields(2, ("rate", "successes", "samples", "count"))) for _ in range(3))
        content = lines if suffix == ".jsonl" and inputs.random() < 0.5 else inputs.mutated(RATES[suffix])
        assert isinstance(load_rates(written(folder / f"rates{suffix}", content)), PassRates)

    return attempt


@target()
def profiles(folder: Path) -> Attempt:
    examples: dict[str, Any] = {"int": 1, "float": 1.0}
    key = ProfileKey(**{one.name: examples.get(str(one.type), "x") for one in dataclasses.fields(ProfileKey)})
    counts = {"successes": [1, 2], "samples": [4, 4], "generated_tokens": [4, 4], "prompt_tokens": [1, 1]}
    columns = {name: np.array(values) for name, values in counts.items()}
    place = folder / "profile.parquet"
    save_profile(place, Profile(key=key, task_ids=("a", "b"), flops=1.0, failed=(), **columns))
    good, table = place.read_bytes(), pyarrow.parquet.read_table(place)
    facts = json.loads(table.schema.metadata[b"rekindle.profile"])

    def attempt(inputs: Inputs) -> None:
        if inputs.random() < 0.7:
            written(place, inputs.mutated(good))
        else:
            changed = {b"rekindle.profile": inputs.json(inputs.changed(facts))}
            pyarrow.parquet.write_table(table.replace_schema_metadata(changed), place)
        load_profile(place)

    return attempt
