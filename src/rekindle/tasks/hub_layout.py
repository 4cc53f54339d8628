"""Subsets and splits of a data set on the hub, from the paths of its files and the list in its card.

A card (README.md) may list configurations with patterns of files per split. Without one, names tell: a split is a word
of a file or folder (``train``, ``validation``, ``test`` and their synonyms) or what stands before ``-00000-of-00001``,
and a folder above the splits is a subset. Rules by names follow those of the library datasets, except that folders are
subsets.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath

from rekindle.choices import closest, few
from rekindle.notices import warn
from rekindle.tasks.rows import SUFFIXES
from rekindle.tasks.task_set import TaskError

__all__ = ["Layout", "chosen_files", "chosen_subset", "layout_of"]

Layout = Mapping[str, Mapping[str, Sequence[str]]]
"""Files by subset and split."""
DEFAULT = "default"
SYNONYMS = {
    "train": "train", "training": "train",
    "validation": "validation", "valid": "validation", "val": "validation", "dev": "validation",
    "test": "test", "testing": "test", "eval": "test", "evaluation": "test",
}  # fmt: skip
WORD = re.compile(rf"(?:^|[^a-z0-9])({'|'.join(SYNONYMS)})(?=$|[^a-z0-9])")
SHARD = re.compile(r"(\w+)-\d{5}-of-\d{5}")
ABOUT_DATA = {"dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json", "metadata.json"}
"""Files that the library datasets writes beside the rows."""


def layout_of(files: Iterable[str], card: Mapping[str, object]) -> tuple[Layout, str | None]:
    """The layout, and the subset that the card calls the default; files that cannot be read are left out.

    Args:
        files: Paths of all files.
        card: Metadata of the card.
    """
    readable = [path for path in files if _is_readable(path)]
    listed = card.get("configs")
    configs = [one for one in listed if isinstance(one, Mapping)] if isinstance(listed, list) else []
    layout: dict[str, Mapping[str, Sequence[str]]] = {}
    default = None
    for config in configs:
        name = str(config.get("config_name", DEFAULT))
        if splits := _listed_splits(config, readable):
            layout[name] = splits
            default = name if config.get("default") is True else default
    return (layout, default) if layout else (_by_names(readable), None)


def chosen_subset(name: str, layout: Layout, default: str | None, asked: str | None) -> str:
    """The subset to read.

    Raises:
        TaskError: There is no such subset, or there are several and none is chosen.
    """
    if asked is not None and asked not in layout:
        near = closest(asked, layout)
        hint = f' (did you mean "{near}"?)' if near else ""
        raise TaskError(
            f'the data set {name} has no subset "{asked}"{hint}; set task.subset to one of {few(sorted(layout), 20)}'
        )
    found = asked or default or (DEFAULT if DEFAULT in layout else None)
    if found is None and len(layout) == 1:
        found = next(iter(layout))
    if found is None:
        raise TaskError(f"the data set {name} has several subsets; set task.subset to one of {few(sorted(layout), 20)}")
    return found


def chosen_files(name: str, layout: Layout, subset: str, asked: str, key: str) -> Sequence[str]:
    """The files of a split in the format that most of them have; warns of others, which may be the same rows.

    Raises:
        TaskError: The subset has no such split.
    """
    splits = layout[subset]
    files = splits.get(asked) or splits.get(SYNONYMS.get(asked.lower(), asked))
    if not files:
        which = "" if subset == DEFAULT else f" in its subset {subset}"
        raise TaskError(
            f'the data set {name} has no split "{asked}"{which}; set {key} to one of {few(sorted(splits), 20)}'
        )
    formats = Counter(PurePosixPath(path).suffix.lower() for path in files)
    best = max(formats, key=lambda suffix: (formats[suffix], suffix == ".parquet"))
    found = sorted(path for path in files if PurePosixPath(path).suffix.lower() == best)
    if left := [path for path in files if path not in found]:
        warn(
            f"the split {asked} of the data set {name} has files of several formats; {few(found)} {_is_or_are(found)} "
            f"read, and {few(left)} {_is_or_are(left)} not",
            stacklevel=2,
        )
    return found


def _is_or_are(files: Sequence[str]) -> str:
    return "is" if len(files) == 1 else "are"


def _is_readable(path: str) -> bool:
    parts = PurePosixPath(path)
    hidden = any(part.startswith((".", "_")) for part in parts.parts)
    return parts.suffix.lower() in SUFFIXES and parts.name not in ABOUT_DATA and not hidden


def _listed_splits(config: Mapping[str, object], files: Sequence[str]) -> Mapping[str, Sequence[str]]:
    """Files by split of a configuration in a card."""
    folder = str(config.get("data_dir") or "").strip("./")
    inside = [path for path in files if not folder or path.startswith(f"{folder}/")]
    given = config.get("data_files")
    if given is None:
        return _splits(inside)
    found: dict[str, list[str]] = {}
    for split, pattern in _patterns(given):
        matcher = _glob(f"{folder}/{pattern}" if folder else pattern)
        found.setdefault(split, []).extend(path for path in files if matcher.fullmatch(path))
    return {split: list(dict.fromkeys(paths)) for split, paths in found.items() if paths}


def _patterns(given: object) -> Iterable[tuple[str, str]]:
    """``(split, pattern)`` of the forms that ``data_files`` may have."""
    match given:
        case str():
            yield "train", given.removeprefix("./")
        case list():
            for one in given:
                yield from _patterns(one)
        case {"split": split, "path": path}:
            yield from ((str(split), pattern) for _, pattern in _patterns(path))
        case dict():
            for split, path in given.items():
                yield from ((str(split), pattern) for _, pattern in _patterns(path))


def _glob(pattern: str) -> re.Pattern[str]:
    """A pattern of paths: ``*`` within a folder, ``**`` across folders."""
    parts = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    pieces = re.split(r"(\*\*/|\*\*|\*|\?)", pattern)
    return re.compile("".join(parts.get(piece, re.escape(piece)) for piece in pieces))


def _by_names(files: Sequence[str]) -> Layout:
    subsets: dict[str, list[str]] = {}
    for path in files:
        subsets.setdefault(_subset(path), []).append(path)
    return {subset: _splits(paths) for subset, paths in subsets.items()}


def _subset(path: str) -> str:
    folders = PurePosixPath(path).parts[:-1]
    first = folders[0] if folders else "data"
    return DEFAULT if first.lower() == "data" or WORD.search(first.lower()) else first


def _splits(files: Sequence[str]) -> Mapping[str, Sequence[str]]:
    """Files by split; where a name says which split it is, files whose names do not are left out."""
    found: dict[str, list[str]] = {}
    for path in files:
        found.setdefault(_split(path) or "", []).append(path)
    unnamed = found.pop("", [])
    return found or ({"train": unnamed} if unnamed else {})


def _split(path: str) -> str | None:
    parts = PurePosixPath(path)
    if shard := SHARD.fullmatch(parts.stem):
        return SYNONYMS.get(shard[1].lower(), shard[1])
    words = [WORD.search(part.lower()) for part in (parts.stem, *reversed(parts.parts[:-1]))]
    return next((SYNONYMS[word[1]] for word in words if word), None)
