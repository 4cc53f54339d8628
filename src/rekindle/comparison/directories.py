"""Run directories at and below the given ones, whoever made them.

A native run is in the directory itself, a run inside TRL or verl in a folder of its output directory, and a sweep is a
tree of runs.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rekindle.types import UserError

__all__ = ["Found", "find_runs"]

_RUN_FILES = ("metrics.jsonl", "run.json")
"""A directory with ``config.toml`` and one of these is a run."""


@dataclass(frozen=True, slots=True)
class Found:
    """Run directories.

    Attributes:
        runs: Each run once, in the order given, and sorted below a directory.
        repeated: Directories that were named more than once.
    """

    runs: Sequence[Path]
    repeated: Sequence[Path]


def find_runs(chosen: Sequence[Path]) -> Found:
    """The runs in these directories and below them.

    Raises:
        UserError: A directory does not exist, or has no run.
    """
    runs, repeated = dict[Path, Path](), list[Path]()
    for directory in chosen:
        if not directory.is_dir():
            raise UserError(f"{directory} is no directory; give directories of runs, or of a sweep")
        below = list(_below(directory, set()))
        if not below:
            raise UserError(
                f"{directory} has no run in it (no config.toml beside metrics.jsonl); give the directory that "
                "`rekindle train --out` wrote, or TRL's or verl's output directory"
            )
        for run in below:
            if run.resolve() in runs:
                repeated.append(run)
            runs.setdefault(run.resolve(), run)
    return Found(list(runs.values()), repeated)


def _below(directory: Path, seen: set[Path]) -> Iterator[Path]:
    """The runs in a directory; links are followed once, and nothing is looked for inside a run or a hidden folder."""
    if directory.resolve() in seen:
        return
    seen.add(directory.resolve())
    if (directory / "config.toml").is_file() and any((directory / name).is_file() for name in _RUN_FILES):
        yield directory
        return
    try:
        with os.scandir(directory) as entries:
            folders = sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
    except OSError as error:
        raise UserError(f"{directory} cannot be read ({error.strerror}); check its permissions") from error
    for name in folders:
        yield from _below(directory / name, seen)
