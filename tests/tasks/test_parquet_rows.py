"""Parquet files as libraries write them, and damaged ones."""

from datetime import UTC, datetime, timedelta

import pytest

from rekindle.planning.sources import load_rates
from rekindle.scheduling.profiling import ProfileError
from rekindle.tasks.files import read_tasks
from rekindle.tasks.qa_sets import read_questions
from rekindle.tasks.rows import read_rows
from rekindle.tasks.task_set import TaskError

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")
NANOSECONDS = {
    "timestamp": (pyarrow.timestamp("ns"), 1_000_000_001, datetime(1970, 1, 1, 0, 0, 1)),
    "with a zone": (pyarrow.timestamp("ns", "UTC"), 1_000_000_001, datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)),
    "duration": (pyarrow.duration("ns"), 2_000_000_001, timedelta(seconds=2)),
}


def written(path, **columns):
    parquet.write_table(pyarrow.table(columns), path)
    return path


@pytest.mark.parametrize("kind", NANOSECONDS)
def test_nanoseconds_which_pandas_writes_are_read_as_microseconds(tmp_path, kind):
    type_, number, expected = NANOSECONDS[kind]
    path = written(tmp_path / "t.parquet", prompt=["a"], answer=["1"], when=pyarrow.array([number], type_))
    assert [dict(fields) for _, fields in read_rows(path, "parquet")] == [
        {"prompt": "a", "answer": "1", "when": expected}
    ]
    assert [task.prompt for task in read_tasks(path, "parquet")] == ["a"]


@pytest.mark.parametrize(
    ("number", "type_"),
    [
        (2**62, pyarrow.timestamp("us")),
        (5, pyarrow.timestamp("us", "Nowhere/Town")),
    ],
)
def test_times_that_python_does_not_have_are_one_sentence(tmp_path, number, type_):
    path = written(tmp_path / "t.parquet", prompt=["a"], answer=["1"], when=pyarrow.array([number], type_))
    with pytest.raises(TaskError, match=r"t\.parquet is not a readable Parquet file"):
        read_tasks(path, "parquet")


@pytest.mark.parametrize("read", [lambda path: read_tasks(path, "parquet"), read_questions, load_rates])
@pytest.mark.parametrize("cut", [0, 3, 4, 100, -1, -9, -200])
def test_damaged_files_are_one_sentence(tmp_path, cut, read):
    path = written(tmp_path / "t.parquet", prompt=["a"] * 50, answer=["1"] * 50, successes=[1] * 50, samples=[2] * 50)
    content = path.read_bytes()
    path.write_bytes(content[:cut])
    with pytest.raises((TaskError, ProfileError), match=r"t\.parquet"):
        read(path)
    path.write_bytes(content[:40] + bytes(byte ^ 0x55 for byte in content[40:-8]) + content[-8:])
    with pytest.raises((TaskError, ProfileError), match=r"t\.parquet"):
        read(path)
