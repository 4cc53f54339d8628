"""Rows of JSONL, JSON, CSV, TSV and Parquet files, each with its place for error messages."""

import csv
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from rekindle.choices import few
from rekindle.tasks.columns import prompt_name
from rekindle.tasks.extras import require_extra
from rekindle.tasks.json_text import parse_json
from rekindle.tasks.task_set import TaskError

__all__ = ["FileKind", "PlacedRow", "kind_of", "read_rows"]

PlacedRow = tuple[str, Mapping[str, object]]
"""``(place, fields)``, e.g. ``("train.jsonl:17", {"prompt": "2+2=", "answer": "4"})``."""
FileKind = Literal["jsonl", "json", "csv", "tsv", "parquet"]

SUFFIXES: Mapping[str, FileKind] = {
    ".jsonl": "jsonl", ".json": "json", ".csv": "csv", ".tsv": "tsv", ".parquet": "parquet", ".ndjson": "jsonl"
}  # fmt: skip
OTHER_CONTENT = {
    b"PAR1": 'a Parquet file; set task.source = "parquet", and let its name end with .parquet',
    b"\x1f\x8b": "compressed (gzip); unpack it",
    b"BZh": "compressed (bzip2); unpack it",
    b"\x28\xb5\x2f\xfd": "compressed (zstd); unpack it",
    b"\xfd7zXZ": "compressed (xz); unpack it",
    b"PK\x03\x04": "a zip archive or a spreadsheet; unpack it, or export it as CSV",
    b"\xff\xfe": "UTF-16 text; save it as UTF-8",
    b"\xfe\xff": "UTF-16 text; save it as UTF-8",
    b"version https://git-lfs": "a pointer of Git LFS; fetch the file itself with `git lfs pull`",
}
"""First bytes of files that are no text of rows, and what they are."""
DELIMITERS = (",", ";", "\t")
LONG_FIELD = 2**31 - 1
OBJECTS = 'every line must be one JSON object, e.g. {"prompt": "2+2=", "answer": "4"}'


def kind_of(path: Path, default: FileKind = "jsonl") -> FileKind:
    """The kind of a file by its suffix; ``default`` where the suffix says nothing."""
    return SUFFIXES.get(path.suffix.lower(), default)


def read_rows(path: Path, kind: FileKind) -> Iterator[PlacedRow]:
    """Yield the rows of a file in order.

    Blank lines of JSONL are skipped. A JSON file is a list, an object with one list of rows, or JSON lines. CSV and
    TSV have a header; an empty cell is a field that is not there.

    Raises:
        TaskError: The file cannot be read, or a line is not a row (with ``file:line``).
    """
    try:
        if not path.is_file():
            raise TaskError(f"there is no file {path}; give the path of an existing file (task.path, task.eval_path)")
        if kind != "parquet":
            _check_content(path)
        match kind:
            case "parquet":
                yield from _parquet_rows(path)
            case "json":
                yield from _json_rows(path)
            case "jsonl":
                yield from _jsonl_rows(path)
            case _:
                yield from _table_rows(path, kind)
    except OSError as error:
        raise TaskError(
            f"cannot read {path} ({error.strerror or error}); check the file and its permissions"
        ) from error


def _check_content(path: Path) -> None:
    with path.open("rb") as file:
        first = file.read(max(map(len, OTHER_CONTENT)))
    for mark, what in OTHER_CONTENT.items():
        if first.startswith(mark):
            raise TaskError(f"{path} is {what}")


def _jsonl_rows(path: Path) -> Iterator[PlacedRow]:
    kind = kind_of(path)
    remedy = OBJECTS if kind == "jsonl" else f'{OBJECTS}; for a {kind.upper()} file set task.source = "csv"'
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield f"{path}:{number}", _object(parse_json(line, f"{path}:{number}", remedy), f"{path}:{number}")


def _json_rows(path: Path) -> Iterator[PlacedRow]:
    try:
        value = parse_json(path.read_bytes(), str(path), OBJECTS)
    except TaskError as error:
        if not isinstance(error.__cause__, json.JSONDecodeError | UnicodeDecodeError):
            raise
        yield from _jsonl_rows(path)  # which names the line
        return
    if isinstance(value, dict):
        value = _rows_in(path, value)
    if not isinstance(value, list):
        raise TaskError(f"{path}: expected a list of questions, found {type(value).__name__}; write a JSON list")
    for number, fields in enumerate(value, start=1):
        yield f"{path} item {number}", _object(fields, f"{path} item {number}")


def _rows_in(path: Path, value: Mapping[str, object]) -> object:
    """The list of rows in an object, which may be a row itself."""
    for name, inner in value.items():
        if str(name).lower() == "data":
            return inner
    if prompt_name({str(name).lower(): inner for name, inner in value.items()}) is not None:
        return [value]
    lists = {name: inner for name, inner in value.items() if _has_rows(inner)}
    if len(lists) > 1:
        raise TaskError(
            f"{path}: the object has several lists of rows ({few(lists)}); write each to a file of its own (task.path, "
            "task.eval_path)"
        )
    return next(iter(lists.values()), [value])


def _has_rows(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, dict) and "role" not in one for one in value)


def _object(value: object, place: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise TaskError(f"{place}: expected a JSON object, found {type(value).__name__}; write one object per line")
    return value


def _table_rows(path: Path, kind: FileKind) -> Iterator[PlacedRow]:
    csv.field_size_limit(min(sys.maxsize, LONG_FIELD))
    number = 1
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            delimiter = "\t" if kind == "tsv" else _delimiter(file.readline())
            file.seek(0)
            rows = csv.DictReader(file, delimiter=delimiter, strict=kind == "csv")
            _check_header(path, rows.fieldnames or ())
            for fields in rows:
                number = rows.line_num
                if None in fields or None in fields.values():
                    raise TaskError(
                        f"{path}:{number}: the line does not have {len(rows.fieldnames or ())} fields like the "
                        f"header; write one {'tab' if delimiter == chr(9) else delimiter} between fields"
                    )
                yield f"{path}:{number}", {name: cell for name, cell in fields.items() if cell.strip()}
    except UnicodeDecodeError as error:
        raise TaskError(f"{path} is not UTF-8 (byte {error.start + 1}); save it as UTF-8 text") from error
    except csv.Error as error:
        raise TaskError(
            f"{path}, after line {number}: not a row of {kind.upper()} ({error}); fix its quotes"
        ) from error


def _check_header(path: Path, names: Sequence[str]) -> None:
    if twice := [name for name in dict.fromkeys(names) if name.strip() and names.count(name) > 1]:
        raise TaskError(
            f"{path}: the header has {few(map(repr, twice))} more than once; give every column its own name"
        )


def _delimiter(header: str) -> str:
    """The delimiter of a CSV file: the one that the header has most often."""
    return max(DELIMITERS, key=header.count)


def _parquet_rows(path: Path) -> Iterator[PlacedRow]:
    require_extra("pyarrow", "parquet", f"reading {path}")
    import pyarrow
    import pyarrow.parquet

    number = 0
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches():
                for fields in _in_microseconds(batch).to_pylist():
                    number += 1
                    yield f"{path} row {number}", fields
    except UnicodeDecodeError as error:
        raise TaskError(f"{path}, after row {number}: a text is not UTF-8; write the file again as UTF-8") from error
    except (pyarrow.ArrowException, ValueError, OverflowError, TypeError, LookupError) as error:
        problem = (str(error).splitlines() or [type(error).__name__])[0]
        raise TaskError(f"{path} is not a readable Parquet file ({problem}); write it again") from error


def _in_microseconds(batch: Any) -> Any:
    """The rows of a batch with times in microseconds: Python has no nanoseconds, which pandas writes by default."""
    import pyarrow

    for at, field in enumerate(batch.schema):
        if pyarrow.types.is_timestamp(field.type) and field.type.unit == "ns":
            kind = pyarrow.timestamp("us", field.type.tz)
        elif pyarrow.types.is_duration(field.type) and field.type.unit == "ns":
            kind = pyarrow.duration("us")
        elif field.type == pyarrow.time64("ns"):
            kind = pyarrow.time64("us")
        else:
            continue
        batch = batch.set_column(at, field.name, batch.column(at).cast(kind, safe=False))
    return batch
