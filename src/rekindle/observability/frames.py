"""A run's tables as pandas data frames."""

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from rekindle.tasks.extras import require_extra
from rekindle.types import UserError

if TYPE_CHECKING:
    from pandas import DataFrame

    from rekindle.observability.runs import Run

__all__ = ["TABLES", "frame_of"]

TABLES: dict[str, Callable[["Run"], list[dict[str, Any]]]] = {
    "metrics": lambda run: run.metrics,
    "samples": lambda run: run.samples,
    "ledger": lambda run: run.ledger,
}
"""Table -> its rows."""


def frame_of(run: "Run", table: str) -> "DataFrame":
    """A table of the run, a row per line of its file; metrics are indexed by step.

    Raises:
        UserError: There is no such table, or pandas is not installed.
    """
    if table not in TABLES:
        raise UserError(f"to_pandas({table!r}): there is no such table; choose one of {', '.join(TABLES)}")
    require_extra("pandas", "pandas", "Run.to_pandas()")
    frame: DataFrame = import_module("pandas").DataFrame(TABLES[table](run))
    return frame.set_index("step") if table == "metrics" and len(frame) else frame
