"""The tables of a run as typed columns, in batches: what data frames and Parquet files are made of.

The ledger has fixed types. The columns of metrics and samples are found in the lines: a column is whole numbers where
all its values are, and so on; values of several kinds are written as text.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rekindle.observability.ledger_file import LEDGER_COLUMNS, RunError, open_ledger
from rekindle.types import Fate, Outcome

if TYPE_CHECKING:
    from rekindle.observability.runs import Run

__all__ = ["TABLES", "Column", "Kind", "Table", "table_of"]

LEDGER_BATCH, LINES_BATCH = 65_536, 512
"""Rows of a batch; the lines of samples may be long."""
LARGEST = 2**63
"""Whole numbers from here on are floating-point numbers in the columns."""


class Kind(Enum):
    """Type of a column."""

    INTEGER = "integer"
    FLOAT = "float"
    BOOLEAN = "boolean"
    TEXT = "text"
    CATEGORY = "category"


@dataclass(frozen=True, slots=True)
class Column:
    """Name and type of a column.

    Attributes:
        name: Its name.
        kind: Its type.
        categories: The possible texts of a category; a value may also be missing.
    """

    name: str
    kind: Kind
    categories: tuple[str, ...] = ()


Values = NDArray[Any] | list[Any]
"""A column's values: an array of numbers, or a list with None where a value is missing. Of a category [rows] int8
codes: the index of the text, -1 where it is missing."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table of a run.

    Attributes:
        columns: Its columns.
        batches: Yields the values of some rows after the other, in the order of the columns.
    """

    columns: Sequence[Column]
    batches: Callable[[], Iterator[list[Values]]]


def table_of(run: "Run", name: str) -> Table:
    """A table of a run by name.

    Raises:
        RunError: A file is damaged.
    """
    return TABLES[name](run)


# -- the ledger -------------------------------------------------------------------------------------------------------

_OUTCOMES = tuple(map(str, Outcome))
_CATEGORIES = {
    "role": ("solver", "proposer"),
    "outcome": _OUTCOMES,
    "previous_outcome": _OUTCOMES,
    "first_outcome": _OUTCOMES,
    "fate": tuple(map(str, Fate)),
}
_KINDS = {"task_id": Kind.TEXT, "temperature": Kind.FLOAT, "seconds": Kind.FLOAT}


def _ledger(run: "Run") -> Table:
    columns = [
        Column(
            name, Kind.CATEGORY if name in _CATEGORIES else _KINDS.get(name, Kind.INTEGER), _CATEGORIES.get(name, ())
        )
        for name in LEDGER_COLUMNS
    ]
    return Table(columns, lambda: _ledger_batches(run, columns))


def _ledger_batches(run: "Run", columns: Sequence[Column]) -> Iterator[list[Values]]:
    if not run.has_ledger:
        return
    path = run.directory / "ledger.sqlite"
    known: dict[str, str] = {}
    sql = f"select {', '.join(LEDGER_COLUMNS)} from groups order by step, request_id > 0, abs(request_id)"  # noqa: S608 (our own names)
    with open_ledger(path) as ledger:
        cursor = ledger.cursor()
        cursor.row_factory = None
        cursor.execute(sql)
        while rows := cursor.fetchmany(LEDGER_BATCH):
            try:
                yield [
                    _ledger_values(column, values, known)
                    for column, values in zip(columns, zip(*rows, strict=True), strict=True)
                ]
            except (TypeError, KeyError) as error:
                raise RunError(f"{path} is damaged: {error.args[0]}; restore the file that the run wrote") from None


def _ledger_values(column: Column, values: tuple[Any, ...], known: dict[str, str]) -> Values:
    """The values of a column of the ledger; each text exists once in ``known``.

    Raises:
        TypeError: A value has another type.
        KeyError: A category is unknown.
    """
    if column.kind is Kind.CATEGORY:
        code: dict[str | None, int] = {text: index for index, text in enumerate(column.categories)}
        code[None] = -1
        if strange := set(values) - code.keys():
            raise KeyError(f"{column.name} has the value {min(map(repr, strange))[:100]}")
        return np.fromiter(map(code.__getitem__, values), np.int8, len(values))
    expected = {Kind.INTEGER: int, Kind.FLOAT: float, Kind.TEXT: str}[column.kind]
    if strange := set(map(type, values)) - {expected}:
        raise TypeError(f"{column.name} has a value of type {strange.pop().__name__}, not {expected.__name__}")
    if column.kind is Kind.TEXT:
        return list(map(known.setdefault, values, values))
    return np.fromiter(values, np.int64 if column.kind is Kind.INTEGER else np.float64, len(values))


# -- lines of a step log ----------------------------------------------------------------------------------------------


def _lines(read: Callable[[], Iterable[Mapping[str, Any]]]) -> Table:
    """A table of JSON lines, which are read once for the types and once for the values."""
    types: dict[str, set[type]] = {}
    for line in read():
        for name, value in _flat(line):
            types.setdefault(name, set()).add(_type(value))
    columns = [Column(name, _kind(name, found)) for name, found in types.items()]

    def batches() -> Iterator[list[Values]]:
        left = iter(read())
        while lines := list(islice(left, LINES_BATCH)):
            rows = [dict(_flat(line)) for line in lines]
            yield [[_value(row.get(column.name), column.kind) for row in rows] for column in columns]

    return Table(columns, batches)


def _flat(line: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The values of a line; those of a nested object are columns of their own, ``rewards/NAME``."""
    for name, value in line.items():
        if isinstance(value, dict):
            yield from ((f"{name}/{inner}", one) for inner, one in value.items())
        else:
            yield name, value


def _type(value: object) -> type:
    return float if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= LARGEST else type(value)


def _kind(name: str, types: set[type]) -> Kind:
    found = types - {type(None)}
    if found == {bool}:
        return Kind.BOOLEAN
    if found == {int} and "flops" not in name:  # which a longer run has too many of
        return Kind.INTEGER
    if found <= {int, float}:  # also a column without any value: a number that was never finite
        return Kind.FLOAT
    return Kind.TEXT


def _value(value: Any, kind: Kind) -> object:
    if value is None:
        return None
    if kind is Kind.FLOAT:
        return float(value)
    if kind is Kind.TEXT and not isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return value


TABLES: Mapping[str, Callable[["Run"], Table]] = {
    "metrics": lambda run: _lines(lambda: run.metrics),
    "samples": lambda run: _lines(run.sample_lines),
    "ledger": _ledger,
}
"""Table of a run -> how it is read."""
