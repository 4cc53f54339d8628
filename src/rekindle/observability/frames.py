"""A run's tables as data frames of pandas and Polars."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from rekindle.observability.columns import TABLES, Column, Kind, Values, table_of
from rekindle.tasks.extras import require_extra
from rekindle.types import UserError

if TYPE_CHECKING:
    from pandas import DataFrame
    from polars import DataFrame as PolarsFrame

    from rekindle.observability.runs import Run

__all__ = ["pandas_frame", "polars_frame"]


def pandas_frame(run: "Run", table: str) -> "DataFrame":
    """A table of the run, a row per line of its file; metrics are indexed by step.

    Raises:
        UserError: There is no such table, or pandas is not installed.
        RunError: A file is damaged.
    """
    columns = _columns(run, table, "pandas")
    pandas = import_module("pandas")
    series = {column.name: _pandas_values(pandas, column, values) for column, values in columns}
    frame: DataFrame = pandas.DataFrame(series, copy=False)
    return frame.set_index("step") if table == "metrics" and len(frame) else frame


def polars_frame(run: "Run", table: str) -> "PolarsFrame":
    """A table of the run, a row per line of its file.

    Raises:
        UserError: There is no such table, or Polars is not installed.
        RunError: A file is damaged.
    """
    columns = _columns(run, table, "polars")
    polars = import_module("polars")
    frame: PolarsFrame = polars.DataFrame([_polars_series(polars, column, values) for column, values in columns])
    return frame


def _columns(run: "Run", table: str, library: str) -> list[tuple[Column, Values]]:
    """All values of the columns of a table."""
    if table not in TABLES:
        raise UserError(f"to_{library}({table!r}): there is no such table; choose one of {', '.join(TABLES)}")
    require_extra(library, library, f"Run.to_{library}()")
    found = table_of(run, table)
    parts = list(zip(*found.batches(), strict=True)) or [()] * len(found.columns)
    return [(column, _joined(column, batches)) for column, batches in zip(found.columns, parts, strict=True)]


def _joined(column: Column, batches: tuple[Values, ...]) -> Values:
    if batches and isinstance(batches[0], np.ndarray):
        return np.concatenate(batches)
    if not batches and column.kind is Kind.CATEGORY:
        return np.zeros(0, np.int8)
    return [value for batch in batches for value in batch]


def _pandas_values(pandas: Any, column: Column, values: Values) -> Any:
    if column.kind is Kind.CATEGORY:
        return pandas.Categorical.from_codes(values, categories=list(column.categories))
    if column.kind is Kind.TEXT:
        return pandas.Series(values, dtype="object" if not len(values) else None)
    if isinstance(values, np.ndarray):
        return values
    missing = None in values
    plain, nullable = {
        Kind.INTEGER: ("int64", "Int64"),
        Kind.BOOLEAN: ("bool", "boolean"),
        Kind.FLOAT: ("float64", "float64"),
    }[column.kind]
    return pandas.array(values, dtype=nullable) if missing else np.array(values, dtype=plain)


def _polars_series(polars: Any, column: Column, values: Values) -> Any:
    if column.kind is Kind.CATEGORY:
        texts = np.array([*column.categories, None], dtype=object)  # -1, the code of what is missing, is the last
        return polars.Series(column.name, texts[values].tolist(), dtype=polars.Enum(list(column.categories)))
    kinds = {
        Kind.INTEGER: polars.Int64,
        Kind.FLOAT: polars.Float64,
        Kind.BOOLEAN: polars.Boolean,
        Kind.TEXT: polars.String,
    }
    return polars.Series(column.name, values, dtype=kinds[column.kind])
