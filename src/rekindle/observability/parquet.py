"""Export of a run's tables to Parquet files, batch by batch."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rekindle import __version__
from rekindle.evaluation.atomic_write import atomic_write
from rekindle.observability.columns import Column, Kind, Table, Values, table_of
from rekindle.tasks.extras import require_extra
from rekindle.types import UserError

if TYPE_CHECKING:
    from rekindle.observability.runs import Run

__all__ = ["FORMAT", "write_parquet"]

FORMAT = 1
"""Version of the tables; it grows when a column changes its meaning or its type."""
REMEDY = "choose another --out, or free space"


def write_parquet(run: "Run", table: str, path: Path) -> int:
    """Write a table of a run, whole or not at all; return the number of its rows.

    The metadata of the file has the key ``rekindle``, a JSON object: ``format``, ``version`` (of rekindle), ``table``,
    ``directory``, ``run`` (the content of run.json) and ``config``.

    Args:
        run: The run.
        table: "ledger", "metrics" or "samples".
        path: The file; an existing one is replaced.

    Raises:
        UserError: A file of the run is damaged, the file cannot be written, or pyarrow is missing.
    """
    require_extra("pyarrow", "parquet", "rekindle export --ledger")
    import pyarrow as pa

    found = table_of(run, table)
    schema = pa.schema([(column.name, _type(pa, column)) for column in found.columns], {"rekindle": _about(run, table)})
    with atomic_write(path, UserError, REMEDY) as partial, _writer(partial, schema) as writer:
        return sum(_write(pa, writer, schema, found, values) for values in found.batches())


def _about(run: "Run", table: str) -> str:
    about = {"format": FORMAT, "version": __version__, "table": table, "directory": str(run.directory)}
    return json.dumps(about | {"run": run.info, "config": run.config}, default=str)


@contextmanager
def _writer(path: Path, schema: Any) -> Iterator[Any]:
    from pyarrow.parquet import ParquetWriter

    with ParquetWriter(path, schema, compression="zstd") as writer:
        yield writer


def _write(pa: Any, writer: Any, schema: Any, table: Table, values: list[Values]) -> int:
    arrays = [_array(pa, column, one) for column, one in zip(table.columns, values, strict=True)]
    writer.write_batch(pa.record_batch(arrays, schema=schema))
    return len(values[0])


def _type(pa: Any, column: Column) -> Any:
    return {
        Kind.INTEGER: pa.int64(),
        Kind.FLOAT: pa.float64(),
        Kind.BOOLEAN: pa.bool_(),
        Kind.TEXT: pa.string(),
        Kind.CATEGORY: pa.dictionary(pa.int8(), pa.string()),
    }[column.kind]


def _array(pa: Any, column: Column, values: Values) -> Any:
    if column.kind is Kind.CATEGORY:
        codes = pa.array(values, mask=np.asarray(values) < 0)
        return pa.DictionaryArray.from_arrays(codes, pa.array(column.categories, pa.string()))
    return pa.array(values, _type(pa, column))
