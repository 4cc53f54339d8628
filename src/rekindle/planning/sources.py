"""Sources of pass rates: profiles, tables of counts or rates, and runs."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rekindle.evaluation.profile_file import METADATA
from rekindle.observability.formatting import counted, excerpt
from rekindle.planning.first_visits import rates_of_run
from rekindle.planning.pass_rates import EXACT, PassRates, grouped_rates
from rekindle.scheduling.profiling import ProfileError
from rekindle.tasks.extras import require_extra
from rekindle.tasks.rows import PlacedRow, kind_of, read_rows
from rekindle.tasks.task_set import TaskError

__all__ = ["load_rates"]

EXPECTED = (
    "columns successes and samples (a row per prompt, or with a column count), or rate and count; `rekindle profile` "
    "writes such a file"
)
NAMES: Mapping[str, tuple[str, ...]] = {
    "successes": ("successes", "correct", "solved"),
    "samples": ("samples", "attempts", "n"),
    "rate": ("rate", "pass_rate", "success_rate"),
    "count": ("count", "prompts"),
    "tokens": ("generated_tokens",),
}
"""Accepted names of columns, in lower case."""
LONGEST_NAME = 60
MOST = 2**53
"""Largest count."""


def load_rates(path: Path) -> PassRates:
    """Read a profile, a table of counts or rates, or a run directory.

    Raises:
        ProfileError: There is no such file, it is damaged, or it has no pass rates.
        RunError: A directory is not a run, or one of its files is broken.
        MissingExtraError: A Parquet file needs pyarrow.
    """
    if path.is_dir():
        return rates_of_run(path)
    if not path.exists():
        raise ProfileError(f"there is no file or directory {path}; give a profile, a table of pass rates, or a run")
    if kind_of(path) == "parquet":
        return _of_parquet(path)
    return _of_rows(_rows(path), path)


def _rows(path: Path) -> list[PlacedRow]:
    try:
        return list(read_rows(path, kind_of(path)))
    except TaskError as error:
        raise ProfileError(f"{str(error).split('; ')[0]}; expected {EXPECTED}") from error


def _of_parquet(path: Path) -> PassRates:
    """Columns of a Parquet file; ids are not read, because ten million of them take a gigabyte."""
    require_extra("pyarrow", "parquet", f"reading {path}")
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            facts = json.loads((file.schema_arrow.metadata or {}).get(METADATA, b"{}"))
            wanted = [name for name in (*file.schema_arrow.names,) if name in _PARQUET]
            table = file.read(columns=wanted)
    except (pyarrow.ArrowException, OSError, ValueError, RecursionError) as error:
        problem = (str(error).splitlines() or [type(error).__name__])[0]
        raise ProfileError(f"{path} is damaged or no Parquet file ({problem}); expected {EXPECTED}") from error
    if not {"successes", "samples"} <= set(wanted):
        return _of_rows(_rows(path), path)
    columns = {name: _integers(table.column(name), f"{path}, column {name}") for name in wanted}
    tokens = columns.get("generated_tokens")
    successes, samples, prompts, lengths = grouped_rates(
        columns["successes"], columns["samples"], columns.get("count", 1), tokens=tokens, where=str(path)
    )
    return PassRates(
        successes=successes,
        samples=samples,
        prompts=prompts,
        sampled_tokens=lengths,
        prompt_tokens=float(columns["prompt_tokens"].mean()) if "prompt_tokens" in columns else math.nan,
        parameters=_parameters(facts, columns),
        pool=int(prompts.sum()),
        source=f"a profile of {counted(int(prompts.sum()), 'prompt')}",
    )


_PARQUET = ("successes", "samples", "generated_tokens", "prompt_tokens", "count")


def _integers(column: Any, where: str) -> np.ndarray[Any, np.dtype[np.int64]]:
    import pyarrow

    if column.null_count:
        raise ProfileError(f"{where} has empty values; make the profile again")
    try:
        return np.asarray(column.cast(pyarrow.int64()).to_numpy())
    except pyarrow.ArrowException as error:
        raise ProfileError(f"{where} has values that are no whole numbers; expected {EXPECTED}") from error


def _parameters(facts: Mapping[str, Any], columns: Mapping[str, Any]) -> int:
    """Parameters of the profiled model, from the FLOPs of the pass: 2 per parameter and token."""
    cost = facts.get("flops", 0.0)
    tokens = sum(int(columns[name].sum()) for name in ("generated_tokens", "prompt_tokens") if name in columns)
    return round(cost / (2 * tokens)) if isinstance(cost, int | float) and tokens else 0


def _of_rows(rows: Sequence[tuple[str, Mapping[str, object]]], path: Path) -> PassRates:
    """A table with a row per prompt, or per number of successes or rate."""
    if not rows:
        raise ProfileError(f"{path} has no rows; expected {EXPECTED}")
    _check_distinct(rows, path)
    first = {_plain(name) for _, fields in rows for name in fields}
    named = {kind: next((name for name in names if name in first), None) for kind, names in NAMES.items()}
    has_counts = named["successes"] and named["samples"]
    if not has_counts and not named["rate"]:
        found = ", ".join(excerpt(name, LONGEST_NAME) for name in sorted(first)[:8]) or "none"
        raise ProfileError(f"{path} has no pass rates (its columns: {found}); expected {EXPECTED}")
    table = [(place, {_plain(name): value for name, value in fields.items()}) for place, fields in rows]
    counts = _column(table, named["count"], 1)
    if has_counts:
        samples, successes = _column(table, named["samples"]), _column(table, named["successes"])
    else:
        samples = _column(table, named["samples"], EXACT)
        rates = [_rate(place, fields, str(named["rate"])) for place, fields in table]
        successes = [round(rate * number) for rate, number in zip(rates, samples, strict=True)]
    tokens = _column(table, named["tokens"]) if named["tokens"] else None
    right, asked, prompts, lengths = grouped_rates(successes, samples, counts, tokens=tokens, where=str(path))
    return PassRates(
        successes=right,
        samples=asked,
        prompts=prompts,
        sampled_tokens=lengths,
        pool=int(prompts.sum()),
        source=f"pass rates of {counted(int(prompts.sum()), 'prompt')}",
        rates_only=not has_counts and not named["samples"],
    )


def _plain(name: object) -> str:
    return str(name).strip().lower()


def _column(
    rows: Iterable[tuple[str, Mapping[str, object]]], name: str | None, default: int | None = None
) -> list[int]:
    return [_whole(place, fields.get(name) if name else None, name or "", default) for place, fields in rows]


def _whole(place: str, value: object, name: str, default: int | None) -> int:
    """A whole number of a row, which may be a text in CSV."""
    if value is None and default is not None:
        return default
    number = _number(value)
    if number is None or number != int(number) or abs(number) > MOST:
        shown = excerpt(repr(value), LONGEST_NAME)
        raise ProfileError(f"{place}: {name} = {shown} is no whole number; expected {EXPECTED}")
    return int(number)


def _rate(place: str, fields: Mapping[str, object], name: str) -> float:
    number = _number(fields.get(name))
    if number is None or not 0 <= number <= 1:
        shown = excerpt(repr(fields.get(name)), LONGEST_NAME)
        raise ProfileError(f"{place}: {name} = {shown} is no rate; give a number from 0 to 1")
    return number


def _number(value: object) -> float | None:
    """The value as a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _check_distinct(rows: Sequence[tuple[str, Mapping[str, object]]], path: Path) -> None:
    """Check that no id occurs twice: the same prompt would count twice."""
    seen = set[str]()
    for place, fields in rows:
        one = fields.get("id", fields.get("prompt_id"))
        if one is None:
            continue
        if str(one) in seen:
            shown = excerpt(str(one), LONGEST_NAME)
            raise ProfileError(f"{place}: the id {shown!r} occurs twice in {path.name}; give each prompt one row")
        seen.add(str(one))
