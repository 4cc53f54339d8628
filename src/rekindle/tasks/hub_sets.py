"""Data sets of the Hugging Face hub: the files of their splits, downloaded into the hub's cache."""

import glob
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rekindle.choices import few, one_line
from rekindle.hub import Kind, cached, is_commit, listing, snapshot
from rekindle.notices import Say
from rekindle.tasks.extras import require_extra
from rekindle.tasks.hub_layout import chosen_files, chosen_subset, layout_of
from rekindle.tasks.rows import SUFFIXES
from rekindle.tasks.task_set import TaskError

__all__ = ["FoundSplits", "downloaded_splits"]

DATA_SET = Kind("dataset", "data set", "task", "", "read files of your own (task.source, task.path)", TaskError)
CARD = "README.md"
CONVERTED = "refs/convert/parquet"
"""The branch in which the hub keeps a copy of a data set as Parquet."""


@dataclass(frozen=True, slots=True)
class FoundSplits:
    """Splits of a data set, downloaded.

    Attributes:
        paths: Files of each split that was asked for.
        commit: Commit that they are from.
    """

    paths: Sequence[Sequence[Path]]
    commit: str


def downloaded_splits(
    name: str, revision: str | None, subset: str | None, splits: Sequence[str], say: Say
) -> FoundSplits:
    """The files of some splits, downloaded where the hub's cache does not have them.

    Args:
        name: ``owner/name``.
        revision: Branch, tag or commit; None: the main branch. A commit in the cache needs no network.
        subset: Subset; None: the default one.
        splits: Names of the splits: the one to train on, and perhaps that of the held-out tasks.
        say: Shows a line before a download.

    Raises:
        TaskError: The data set does not exist, is private or gated, cannot be downloaded now, or has no such subset or
            split in a format that can be read.
        MissingExtraError: huggingface_hub is not installed.
    """
    require_extra("huggingface_hub", "train", "a data set of the hub")
    directory = _card_directory(name, revision)
    files = listing(DATA_SET, name, directory.name)
    layout, default = layout_of(files, _card(name, directory))
    if not layout:
        raise TaskError(_no_rows(name, files, revision))
    chosen = chosen_subset(name, layout, default, subset)
    keys = ("task.split", "task.eval_split")
    found = [chosen_files(name, layout, chosen, split, key) for split, key in zip(splits, keys, strict=False)]
    wanted = [path for paths in found for path in paths]
    if any(not (directory / path).exists() for path in wanted):
        say(f"downloading {name} ({' and '.join(splits)}) ...")
        directory = snapshot(DATA_SET, name, directory.name, [glob.escape(path) for path in wanted])
    return FoundSplits([[directory / path for path in paths] for paths in found], directory.name)


def _card_directory(name: str, revision: str | None) -> Path:
    """Directory of the data set in the cache, with its card; its name is the commit."""
    found = cached(DATA_SET, name, revision, [CARD]) if revision is not None and is_commit(revision) else None
    return found or snapshot(DATA_SET, name, revision, [CARD], progress=False)


def _card(name: str, directory: Path) -> Mapping[str, object]:
    """Metadata of a data set's card; empty where there is none."""
    path = directory / CARD
    if not path.exists():
        return {}
    from huggingface_hub import metadata_load

    try:
        return metadata_load(path) or {}
    except Exception as error:  # the boundary to a YAML parser
        raise TaskError(
            f"the card of the data set {name} ({path}) has no readable list of its files ({one_line(error, 100)}); set "
            f'task.revision = "{CONVERTED}", where the hub keeps a copy as Parquet'
        ) from error


def _no_rows(name: str, files: Sequence[str], revision: str | None) -> str:
    kinds = ", ".join(kind.removeprefix(".") for kind in SUFFIXES)
    remedy = "convert it, and read your own files (task.source, task.path)"
    if revision != CONVERTED:
        remedy = (
            f'set task.revision = "{CONVERTED}", where the hub keeps a copy of most data sets as Parquet, or {remedy}'
        )
    return f"the data set {name} has no files with rows ({kinds}), but {few(files)}; {remedy}"
