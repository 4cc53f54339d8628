"""The Parquet file of a profile: one row per prompt; model and settings are in the file's metadata."""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from rekindle.evaluation.atomic_write import atomic_write
from rekindle.scheduling.profiling import Profile, ProfileError, ProfileKey
from rekindle.tasks.extras import require_extra

__all__ = ["check_profile", "load_profile", "rows_for", "save_profile"]

FORMAT = 1
METADATA = b"rekindle.profile"
NUMBERS = ("successes", "samples", "generated_tokens", "prompt_tokens")
COLUMNS = {
    "prompt_id": "string",
    "successes": "int64",
    "samples": "int64",
    "mean_length": "float64",
    "generated_tokens": "int64",
    "prompt_tokens": "int64",
}
"""Column names and Arrow types. ``mean_length`` follows from two others; it is there for human readers."""


def save_profile(path: Path, profile: Profile) -> None:
    """Write a profile atomically; an existing file is replaced.

    Raises:
        MissingExtraError: pyarrow is not installed.
        ProfileError: The file cannot be written.
    """
    require_extra("pyarrow", "parquet", f"writing {path}")
    import pyarrow
    import pyarrow.parquet

    columns = {
        "prompt_id": list(profile.task_ids),
        "mean_length": profile.mean_lengths,
        **{name: getattr(profile, name) for name in NUMBERS},
    }
    facts = {"format": FORMAT, **asdict(profile.key), "flops": profile.flops, "failed": profile.failed}
    schema = pyarrow.schema(list(COLUMNS.items()), metadata={METADATA: json.dumps(facts)})
    with atomic_write(path, ProfileError, "choose another --out") as partial:
        pyarrow.parquet.write_table(pyarrow.table(columns, schema=schema), partial)


def load_profile(path: Path) -> Profile:
    """Read a profile.

    Raises:
        MissingExtraError: pyarrow is not installed.
        ProfileError: The file is missing, damaged, of another version, or not a profile.
    """
    require_extra("pyarrow", "parquet", f"reading {path}")
    import pyarrow
    import pyarrow.parquet

    if not path.is_file():
        raise ProfileError(f"there is no file {path}; make a profile with `rekindle profile`")
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            facts = (file.schema_arrow.metadata or {}).get(METADATA)
            if facts is None:
                raise ProfileError("it has no metadata of a profile")
            table = file.read(columns=list(COLUMNS)).cast(pyarrow.schema(list(COLUMNS.items())))
        return _profile(table, json.loads(facts))
    except (pyarrow.ArrowException, OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        problem = (str(error).splitlines() or [type(error).__name__])[0]
        raise ProfileError(
            f"{path} cannot be used as a profile ({problem}); make one with `rekindle profile`"
        ) from error


def _profile(table: Any, facts: dict[str, Any]) -> Profile:
    if facts["format"] != FORMAT:
        raise ProfileError(f"it has format {facts['format']}, and this version reads format {FORMAT}")
    holes = [name for name in table.column_names if table.column(name).null_count]
    if holes or not table.num_rows:
        raise ProfileError(f"its column {holes[0]} has empty values" if holes else "it has no rows")
    return Profile(
        key=ProfileKey(**{name: facts[name] for name in ProfileKey.__dataclass_fields__}),
        task_ids=tuple(table.column("prompt_id").to_pylist()),
        **{name: table.column(name).to_numpy() for name in NUMBERS},
        flops=facts["flops"],
        failed=tuple(facts["failed"]),
    )


def check_profile(profile: Profile, key: ProfileKey, *, forced: bool, where: str) -> None:
    """Check that a profile was made with the model and the settings of this run.

    Args:
        profile: The loaded profile.
        key: Model and settings of this run.
        forced: Accept differences (``profile.force = true``).
        where: Name of the file in the message.

    Raises:
        ProfileError: There are differences and ``forced`` is False.
    """
    there, here = asdict(profile.key), asdict(key)
    differences = [f"{name} ({there[name]!r} there, {here[name]!r} here)" for name in here if there[name] != here[name]]
    if differences and not forced:
        raise ProfileError(
            f"{where} was profiled with another {' and '.join(differences)}; make a profile of this run's model and "
            "settings with `rekindle profile`, or set profile.force = true to use it anyway"
        )


def rows_for(profile: Profile, task_ids: Sequence[str]) -> Profile:
    """The profile's rows in the order of a pool; a prompt that could not be played has 0 samples.

    The cost stays that of the whole profiling pass.

    Args:
        profile: Profile of this pool or of a larger one.
        task_ids: [N] task ids of the pool.

    Raises:
        ProfileError: Prompts of the pool were never profiled.
    """
    row_of = {task_id: row for row, task_id in enumerate(profile.task_ids)}
    failed = set(profile.failed)
    missing = [task_id for task_id in task_ids if task_id not in row_of and task_id not in failed]
    if missing:
        raise ProfileError(
            f"{len(missing)} of the pool's {len(task_ids)} prompts are not in the profile, e.g. {missing[0]!r}; "
            "profile this pool with `rekindle profile`"
        )
    rows = np.array([row_of.get(task_id, -1) for task_id in task_ids], np.int64)
    columns: dict[str, Any] = {name: np.where(rows < 0, 0, getattr(profile, name)[rows]) for name in NUMBERS}
    return replace(profile, task_ids=task_ids, **columns)
