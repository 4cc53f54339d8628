"""Rows of JSONL and Parquet files, each with its place for error messages."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from rekindle.tasks.extras import require_extra
from rekindle.tasks.task_set import TaskError

__all__ = ["PlacedRow", "read_rows"]

PlacedRow = tuple[str, Mapping[str, object]]
"""``(place, fields)``, e.g. ``("train.jsonl:17", {"prompt": "2+2=", "answer": "4"})``."""


def read_rows(path: Path, *, parquet: bool) -> Iterator[PlacedRow]:
    """Yield the rows of a file in order; blank lines of JSONL are skipped.

    Raises:
        TaskError: The file cannot be read, or a line is not a JSON object (with ``file:line``).
    """
    try:
        if not path.is_file():
            raise TaskError(f"there is no file {path}; give the path of an existing file (task.path, task.eval_path)")
        yield from _parquet_rows(path) if parquet else _jsonl_rows(path)
    except OSError as error:
        raise TaskError(
            f"cannot read {path} ({error.strerror or error}); check the file and its permissions"
        ) from error


def _jsonl_rows(path: Path) -> Iterator[PlacedRow]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield f"{path}:{number}", _parse(line, f"{path}:{number}")


def _parse(line: bytes, place: str) -> Mapping[str, object]:
    try:
        value = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise TaskError(f"{place}: byte {error.start + 1} is not UTF-8; save the file as UTF-8 text") from error
    except json.JSONDecodeError as error:
        remedy = 'every line must be one JSON object, e.g. {"prompt": "2+2=", "answer": "4"}'
        raise TaskError(f"{place}: not valid JSON ({error.msg}, column {error.colno}); {remedy}") from error
    if not isinstance(value, dict):
        raise TaskError(f"{place}: expected a JSON object, found {type(value).__name__}; write one object per line")
    return value


def _parquet_rows(path: Path) -> Iterator[PlacedRow]:
    require_extra("pyarrow", "parquet", f"reading {path}")
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            number = 0
            for batch in file.iter_batches():
                for fields in batch.to_pylist():
                    number += 1
                    yield f"{path} row {number}", fields
    except pyarrow.ArrowInvalid as error:
        raise TaskError(
            f"{path} is not a readable Parquet file ({str(error).splitlines()[0]}); check the file"
        ) from error
